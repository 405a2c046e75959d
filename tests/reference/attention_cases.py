"""Made-up input of additive attention, and how close two results must be."""

from dataclasses import astuple, dataclass

import torch
from torch import Tensor


@dataclass
class Case:
    """What ``additive_scores`` and ``attend`` are given."""

    projected: Tensor
    query: Tensor
    weight: Tensor
    alpha: Tensor
    image_index: Tensor


def make(
    n_images: int = 4,
    n_cells: int = 7,
    width: int = 20,
    n_queries: int = 11,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Case:
    generator = torch.Generator().manual_seed(seed)
    other = torch.promote_types(dtype, torch.float32)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return Case(
        normal(n_images, n_cells, width).to(dtype),
        normal(n_queries, width).to(other),
        normal(width).to(other),
        normal(n_queries, n_cells).softmax(1).to(other),
        torch.randint(n_images, (n_queries,), generator=generator),
    )


def scored(case: Case) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The arguments of ``additive_scores``."""
    return case.projected, case.query, case.weight, case.image_index


def doubled(case: Case) -> Case:
    """The same numbers in float64, to be differentiated."""
    *floats, image_index = astuple(case)
    return Case(*(x.detach().double().requires_grad_() for x in floats), image_index)


def assert_close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    assert found.shape == expected.shape
    scale = expected.abs().max().item() if expected.numel() else 0.0
    difference = (found.double() - expected).abs().max().item() if expected.numel() else 0.0
    # 1 - tanh² of a saturated tanh keeps the error of tanh, 2e-7, however small it is itself.
    assert difference <= tolerance * max(scale, 0.1)

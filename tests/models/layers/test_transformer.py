"""Dot-product attention in bfloat16 on the CPU beside PyTorch's own in float64."""

from typing import NamedTuple

import pytest
import torch
from frostgrid.models.layers.transformer import (
    CellAttention,
    CellMemory,
    attend,
    by_head,
    joined,
    spread_scores,
)
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


class Case(NamedTuple):
    """Groups, heads, queries, keys and channels a head."""

    groups: int
    heads: int
    queries: int
    keys: int
    width: int


CASES = {
    "cells": Case(3, 4, 10, 196, 16),
    "one of each": Case(1, 1, 1, 1, 4),
    "words": Case(5, 2, 7, 7, 8),
    "no text": Case(0, 2, 3, 3, 8),
}


def given(case: Case, dtype: torch.dtype) -> list[Tensor]:
    """Query, keys and values, equal in all dtypes up to bfloat16's rounding."""
    g = torch.Generator().manual_seed(0)
    sizes = (case.queries, case.keys, case.keys)
    drawn = [torch.randn(case.groups, case.heads, n, case.width, generator=g) for n in sizes]
    return [x.bfloat16().to(dtype).requires_grad_() for x in drawn]


def mask_of(case: Case, kind: str) -> Tensor | None:
    """Every text as long as its position says, or no mask."""
    if kind != "mask":
        return None
    length = torch.arange(case.groups) % case.keys + 1
    return (torch.arange(case.keys) < length[:, None])[:, None, None]


# Words attend to earlier words of their own text, not to cells.
RUNS = [(name, kind) for name in CASES for kind in ("all", "mask", "causal")]
RUNS.remove(("cells", "causal"))


@pytest.mark.parametrize(("name", "kind"), RUNS)
def test_bfloat16_in_training_is_attention(name: str, kind: str) -> None:
    """Sums and gradients are those of PyTorch's operation, up to bfloat16's rounding."""
    case = CASES[name]
    mask = mask_of(case, kind)
    ours, exact = given(case, torch.bfloat16), given(case, torch.float64)
    found = attend(*ours, mask, causal=kind == "causal")
    expected = joined(scaled_dot_product_attention(*exact, mask, is_causal=kind == "causal"))
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), expected, atol=0.03, rtol=0.03)
    for x in (found, expected):
        x.square().sum().backward()
    for our, their in zip(ours, exact, strict=True):
        assert our.grad is not None
        assert their.grad is not None
        torch.testing.assert_close(our.grad.double(), their.grad, atol=0.06, rtol=0.06)


def test_a_text_without_words_gives_no_nan() -> None:
    """Where a mask allows nothing, what is found is never read; it must not spoil gradients."""
    ours = given(Case(2, 2, 3, 3, 8), torch.bfloat16)
    mask = torch.tensor([[True, True, True], [False, False, False]])[:, None, None]
    attend(*ours, mask)[0].sum().backward()
    assert all(x.grad is not None and x.grad.isfinite().all() for x in ours)


@pytest.mark.parametrize("channels", [64, 512])
def test_scores_start_with_a_variance_of_one(channels: int) -> None:
    """For cells and words of variance one, whatever their widths."""
    torch.manual_seed(0)
    memory, look = CellMemory(channels, 256, 4), CellAttention(256, 4, 0.0)
    spread_scores(memory, [look])
    words, cells = torch.randn(1, 200, 256), torch.randn(1, 196, channels)
    query = by_head(look.enter(look.norm(words)), 4)
    keys = by_head(memory.cells(cells)[..., :256], 4)
    scores = (query @ keys.transpose(2, 3)).detach() / 64**0.5
    assert 0.8 < float(scores.std()) < 1.25

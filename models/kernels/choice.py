"""The choice between fused kernels and PyTorch's own operations."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Literal

import torch
from torch import Tensor

Kernels = Literal["auto", "plain"]

# For fewer elementary steps, PyTorch's operations are as fast as a kernel's call.
_FEW_STEPS = 1 << 15
_CPU_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_CUDA_DTYPES = (torch.float32, torch.bfloat16, torch.float16)

_mode: Kernels = "auto"
_sorted = False


def set_kernels(mode: Kernels) -> None:
    """Choose the fused kernels wherever they apply and pay (``auto``) or never (``plain``)."""
    global _mode
    if mode not in ("auto", "plain"):
        raise ValueError(f"kernels {mode!r}: expected 'auto' or 'plain'.")
    _mode = mode


@contextmanager
def kernels(mode: Kernels) -> Iterator[None]:
    """``set_kernels`` within a ``with`` block."""
    before = _mode
    set_kernels(mode)
    try:
        yield
    finally:
        set_kernels(before)


@contextmanager
def sorted_queries() -> Iterator[None]:
    """Promise that queries are in the order of their images, so that nobody has to sort them."""
    global _sorted
    before, _sorted = _sorted, True
    try:
        yield
    finally:
        _sorted = before


def queries_are_sorted() -> bool:
    """Whether that was promised."""
    return _sorted


def fused(n_steps: int) -> bool:
    """Whether kernels are enabled, and pay for so many elementary steps."""
    return _mode == "auto" and n_steps >= _FEW_STEPS and not torch.compiler.is_compiling()


def attention_backend(cells: Tensor, n_steps: int) -> ModuleType | None:
    """The attention kernels for this device and dtype; None for the plain form."""
    if not fused(n_steps):
        return None
    if cells.device.type == "cpu" and cells.dtype in _CPU_DTYPES:
        from . import cpu

        return cpu
    if cells.device.type == "cuda" and cells.dtype in _CUDA_DTYPES:
        return _cuda()
    return None


@cache
def _cuda() -> ModuleType | None:
    """The CUDA kernels, if they can be compiled and run here."""
    try:
        from . import cuda

        try_kernels(cuda, torch.device("cuda"))
        return cuda
    except Exception as error:  # Triton may lack its compiler, or not support this GPU
        warnings.warn(
            f"The fused attention kernels do not run on this GPU ({error}); "
            "PyTorch's own operations are used instead, which are slower.",
            stacklevel=2,
        )
        return None


@cache
def has_cuda_lstm() -> bool:
    """Whether the library's fused LSTM step runs on this GPU."""
    from .lstm import cuda_lstm_step

    try:
        try_lstm(cuda_lstm_step, torch.device("cuda"))
        return True
    except Exception:  # it has no public name, and may lose the one it has
        return False


@torch.inference_mode(False)
@torch.enable_grad()
def try_lstm(step: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], device: torch.device) -> None:
    """Run an LSTM step once, forward and backward; raises ``RuntimeError`` for a wrong result."""
    gates = torch.full((1, 4), 0.5, device=device, requires_grad=True)
    hidden, cell = step(gates, torch.ones(1, 1, device=device))
    (gradient,) = torch.autograd.grad((hidden + cell).sum(), gates)
    found = [hidden.item(), cell.item(), *gradient.flatten().tolist()]
    wanted = [0.4489079, 0.9101085, 0.1410394, 0.3052026, 0.6357617, 0.1694810]
    if not all(abs(a - b) < 1e-4 for a, b in zip(found, wanted, strict=True)):
        raise RuntimeError(f"it computed {found}")


@torch.inference_mode(False)
@torch.enable_grad()
def try_kernels(backend: ModuleType, device: torch.device) -> None:
    """Run a backend's kernels once, forward and backward, also when called for inference.

    Raises what they raise, and ``RuntimeError`` for a wrong result.
    """
    from . import functions

    cells = torch.full((1, 1, 1), 0.5, device=device, requires_grad=True)
    one, index = torch.ones(1, 1, device=device), torch.zeros(1, device=device, dtype=torch.long)
    scores = functions.additive_scores(backend, cells, one, one[0], index)  # tanh(1.5)
    out = functions.attend(backend, cells, scores, index)  # 0.5 · tanh(1.5)
    (gradient,) = torch.autograd.grad(out, cells, one)  # tanh(1.5) + 0.5 · (1 - tanh(1.5)²)
    found, slope = out.detach().item(), gradient.item()
    if not (abs(found - 0.4525741) < 1e-4 and abs(slope - 0.9955016) < 1e-4):
        raise RuntimeError(f"they computed {found} and {slope}")

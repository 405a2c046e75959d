"""A CUDA device without a GPU: tensors have shapes, dtypes and devices there, but no numbers.

``FakeTensorMode`` raises when an operation gets tensors of two devices. What it cannot run without
a driver is replaced here: launches of Triton kernels by a check of their tensors, cuDNN's LSTM by
plain operations, and autograd's engine by :func:`gradients`.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from frostgrid.models.kernels import choice
from frostgrid.models.layers import additive_attention, recurrent
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.autograd.function import BackwardCFunction
from torch.nn.functional import linear

DEVICE = torch.device("cuda", 0)


@contextmanager
def fake_cuda(amp: torch.dtype | None = None, waits: bool = True) -> Iterator[None]:
    """The device, under autocast to ``amp`` if one is given. Kernels are used however small.

    Unless the host ``waits``, whatever would wait for a number raises ``AssertionError``: it could
    not be captured in a CUDA graph.
    """
    with ExitStack() as stack:
        stack.enter_context(patch.object(choice, "_FEW_STEPS", 0))
        stack.enter_context(patch.object(choice, "_cuda", _triton_kernels))
        stack.enter_context(patch.object(nn.LSTM, "forward", _lstm))
        stack.enter_context(patch.object(nn.LSTM, "flatten_parameters", lambda self: None))
        # Numbers that the host asks for: there are none, so any will do that fit the shapes.
        slots = (lambda i, n: i * 0) if waits else _refuse
        stack.enter_context(patch.object(additive_attention, "slots", slots))
        stack.enter_context(patch.object(recurrent, "has_cuda_lstm", lambda: False))
        for name, replacement in {
            "__int__": lambda self: 0,
            "__bool__": lambda self: False,
            "tolist": lambda self: np.full(self.shape, len(self)).tolist(),
            "nonzero": _nonzero,
        }.items():
            method = replacement if waits else _refuse
            stack.enter_context(patch.object(FakeTensor, name, method, create=True))
        # Autocast asks for a driver and for the GPU's number formats.
        amp_of = torch.cuda.amp.common
        stack.enter_context(patch.object(amp_of, "amp_definitely_not_available", lambda: False))
        stack.enter_context(patch.object(torch.cuda, "is_bf16_supported", lambda: True))
        stack.enter_context(FakeTensorMode())
        stack.enter_context(torch.autocast("cuda", amp, enabled=amp is not None))
        yield


def gradients(loss: Tensor) -> dict[Tensor, Tensor]:
    """The gradient of every leaf, by calling the backward functions in the engine's order.

    Raises ``AssertionError`` for a gradient that is not of its tensor's shape and device.
    """
    found: dict[Tensor, Tensor] = {}
    assert loss.grad_fn is not None
    waiting: dict[Any, list[Tensor | None]] = {}
    _add(waiting, loss.grad_fn, 0, torch.ones_like(loss))
    for node in _consumers_first(loss.grad_fn):
        given = waiting.pop(node, None)
        if given is None:
            continue
        if hasattr(node, "variable"):
            (gradient,) = given
            assert gradient is not None
            found[node.variable] = gradient
            assert gradient.shape == node.variable.shape
            assert gradient.device == node.variable.device
            continue
        for (before, position), gradient in _call(node, given):
            if before is not None and gradient is not None:
                _add(waiting, before, position, gradient)
    return found


@torch.no_grad()
def _call(node: Any, given: list[Tensor | None]) -> Iterator[tuple[Any, Tensor | None]]:
    """The gradients that a backward function returns, each beside the node that it goes to."""
    edges = node.next_functions
    if not isinstance(node, BackwardCFunction):
        out = node(*given)
        return zip(edges, out if isinstance(out, tuple) else (out,), strict=True)
    # A Python function has outputs, but no edges, for arguments that are no tensors.
    out = [x for x, needed in zip(node.apply(*given), node.needs_input_grad, strict=True) if needed]
    return zip([edge for edge in edges if edge[0] is not None], out, strict=True)


def _add(waiting: dict[Any, list[Tensor | None]], node: Any, position: int, more: Tensor) -> None:
    """Add to what a node waits for; as in the engine, in its output's shape and dtype."""
    outputs = node._input_metadata
    given = waiting.setdefault(node, [None] * len(outputs))
    assert more.device == outputs[position].device, (node.name(), more.device)
    more = more.sum_to_size(outputs[position].shape).to(outputs[position].dtype)
    there = given[position]
    given[position] = more if there is None else there + more


def _consumers_first(root: Any) -> list[Any]:
    """The graph's nodes, each after all that pass a gradient to it."""
    order: list[Any] = []
    seen = set()
    stack = [(root, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node is not None and node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(before, False) for before, _ in node.next_functions]
    return order[::-1]


def _triton_kernels() -> Any:
    from frostgrid.models.kernels import cuda

    cuda._launch = _check_launch
    return cuda


def _check_launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    tensors = [x for x in arguments if isinstance(x, Tensor)]
    assert {x.device for x in tensors} == {DEVICE}, [x.device for x in tensors]
    assert all(x.is_contiguous() for x in tensors)


def _refuse(*_: Any) -> Any:
    raise AssertionError("the host waits for a number of the device")


def _nonzero(self: Tensor, as_tuple: bool = False) -> Any:
    """As if no number were zero."""
    index = torch.zeros(self.numel(), self.ndim, dtype=torch.long, device=self.device)
    return index.unbind(1) if as_tuple else index


def _lstm(self: nn.LSTM, words: Tensor, state: Any = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """``nn.LSTM``, one layer from left to right, batch first."""
    from_word, from_state, *biases = self.all_weights[0]
    zero = words.new_zeros(len(words), self.hidden_size)
    hidden, cell = (zero, zero) if state is None else (part[0] for part in state)
    outputs = []
    for word in words.unbind(1):
        gates = linear(word, from_word, biases[0]) + linear(hidden, from_state, biases[1])
        entry, forget, candidate, out = gates.chunk(4, 1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(entry) * torch.tanh(candidate)
        hidden = torch.sigmoid(out) * torch.tanh(cell)
        outputs.append(hidden)
    return torch.stack(outputs, 1), (hidden[None], cell[None])

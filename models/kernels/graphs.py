"""CUDA graphs: what was launched once is launched again, all at once."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import torch

T = TypeVar("T")


def capture(function: Callable[[], T], pool: Any = None) -> tuple[torch.cuda.CUDAGraph, T]:
    """Record what a function launches; its result is there once the graph is replayed.

    Raises what the function raises, ``RuntimeError`` for what a graph cannot hold; nothing of it is
    left then.
    """
    stream = torch.cuda.current_stream()
    graph = torch.cuda.CUDAGraph()
    try:
        # Other threads, a writer of events for one, may use the GPU meanwhile.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            result = function()
    except BaseException:
        _leave_capture(stream)
        raise
    return graph, result


def _leave_capture(stream: torch.cuda.Stream) -> None:
    """Undo what a capture that failed leaves: its stream, and random numbers that are not drawn."""
    torch.cuda.set_stream(stream)
    generator = torch.cuda.default_generators[stream.device.index]
    with suppress(AttributeError, RuntimeError):
        # A copy of the state does not remember that it was being captured.
        generator.graphsafe_set_state(generator.clone_state())

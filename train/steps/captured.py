"""The captured step: a whole update as one CUDA graph for each of a few shapes.

A head's update is some hundred kernels of a few microseconds each; the host takes longer to launch
them than the GPU to run them. A CUDA graph launches them all at once.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.kernels.graphs import capture
from ..data.batches import Batch
from ..data.resident import ResidentSamples, Shape, Slot
from .plain import PlainStep

Function = Callable[[Tensor], Tensor]


class Graph:
    """A function of one tensor, recorded on its first call and replayed on the same memory."""

    def __init__(self, function: Function, given: Tensor, pool: Any) -> None:
        self.given = given.clone()
        self.graph, self.result = capture(lambda: function(self.given), pool)

    def __call__(self, given: Tensor) -> Tensor:
        """The result, in memory that the next call overwrites."""
        self.given.copy_(given)
        self.graph.replay()
        return self.result


class Recorder:
    """Makes graphs that share their memory, as they never run at once."""

    def __init__(self, device: torch.device) -> None:
        self.pool: Any = torch.cuda.graph_pool_handle()
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call, unused-ignore]

    def warm_up(self, function: Function, given: Tensor) -> Tensor:
        """Call a function that is recorded later, on another stream, as PyTorch asks for."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            result = function(given)
        torch.cuda.current_stream().wait_stream(self.stream)
        return result

    def record(self, function: Function, given: Tensor) -> Function:
        """The function as a graph; raises ``RuntimeError`` for what a graph cannot hold."""
        return Graph(function, given, self.pool)


class CapturedStep:
    """Updates as ``plain`` makes them, from padded batches of resident samples.

    The first batch of a shape is computed as it comes, which lets libraries choose and compile what
    they need; the second is recorded, and from then on the graph is replayed. Without a
    ``recorder``, which a GPU has, all batches are computed as they come.

    Nothing accumulates, and there is no scaler: see :func:`.choice.why_plain`.
    """

    def __init__(
        self,
        plain: PlainStep,
        samples: ResidentSamples,
        say: Callable[[str], None],
        recorder: Recorder | None,
    ) -> None:
        self.plain, self.samples, self.say, self.recorder = plain, samples, say, recorder
        self.task, self.optimizer = plain.task, plain.optimizer
        self.graphs: dict[Shape, Function] = {}
        self.seen: set[Shape] = set()
        self.slot: Slot | None = None
        self.failure = ""  # why a shape could not be recorded
        # The last update's summed loss and the norm of its gradient.
        self.result = torch.zeros(2, dtype=torch.float64, device=plain.device)
        if plain.device.type == "cuda":
            move_rates(self.optimizer, plain.device)

    def batches(
        self, order: NDArray[np.int64], skip: int, image_row: NDArray[np.int64] | None = None
    ) -> Iterator[Batch | Slot]:
        """See :class:`PlainStep`."""
        return iter(self.samples.plan(order, skip, image_row))

    def backward(self, batch: Any, in_group: int, last: bool) -> Tensor:
        """See :class:`PlainStep`: all is done by :meth:`update`, which fills in the loss."""
        self.slot = batch
        return self.result[0]

    def update(self, rate: float) -> bool:
        """See :class:`PlainStep`."""
        slot = self.slot
        assert slot is not None
        self.plain.set_rate(rate)
        self.result.copy_(self._function_of(slot)(slot.packed))
        return True

    def _function_of(self, slot: Slot) -> Function:
        """What computes a slot's update: its shape's graph, if there is one by now."""
        compute = partial(self.compute, slot.shape)
        if self.recorder is None or slot.shape in self.graphs:
            return self.graphs.get(slot.shape, compute)
        if slot.shape not in self.seen:
            self.seen.add(slot.shape)
            return partial(self.recorder.warm_up, compute)
        try:
            self.graphs[slot.shape] = self.recorder.record(compute, slot.packed)
        except RuntimeError as error:
            self.recorder, self.failure = None, first_line(error)
            self.optimizer.zero_grad(set_to_none=True)
            self.say(f"shapes that are yet to come are not captured ({self.failure})")
        return self.graphs.get(slot.shape, compute)

    def compute(self, shape: Shape, packed: Tensor) -> Tensor:
        """An update from a slot's samples: their summed loss and the gradient's norm, float64."""
        plain = self.plain
        with self.task.precision.autocast():
            loss = self.task.padded_loss(self.samples.read(packed, shape))
        torch.autograd.backward(loss)
        norm = plain.gradient_norm()
        if plain.o.clip:
            # The fused optimiser divides by it as it reads them, as it does for a GradScaler; to
            # shorten the gradients before would be a sweep more over all of them.
            self.optimizer.grad_scale = ((norm + 1e-6) / plain.o.clip).clamp_min(1)  # type: ignore[attr-defined]
        self.optimizer.step()
        self.optimizer.grad_scale = None  # type: ignore[attr-defined]
        # The next graph may have the gradients' memory.
        self.optimizer.zero_grad(set_to_none=True)
        return torch.stack([loss.detach().double() * packed[-2], norm.double()])


def move_rates(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Keep the learning rates where a graph reads them, and let the optimiser be captured."""
    # It would warn of steps that are not captured; some are not, on purpose.
    optimizer._warned_capturable_if_run_uncaptured = True  # type: ignore[attr-defined, unused-ignore]
    for group in optimizer.param_groups:
        group["capturable"] = True
        if not isinstance(group["lr"], Tensor):
            group["lr"] = torch.tensor(group["lr"], dtype=torch.float32, device=device)


def leave(optimizer: torch.optim.Optimizer) -> None:
    """Take back what :func:`move_rates` did."""
    for group in optimizer.param_groups:
        group["capturable"], group["lr"] = False, float(group["lr"])


def first_line(error: Exception) -> str:
    """What an error says, without the advice that PyTorch adds."""
    return str(error).strip().partition("\n")[0]

"""Which step a run takes: captured where it pays and does what the plain one does."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...models.layers.dropout import Dropout
from ..checkpoint import random_state, restore_random_state
from ..data.resident import Slot
from ..tasks.task import Task
from .captured import CapturedStep, Recorder, first_line, leave
from .plain import PlainStep

StepKind = Literal["auto", "captured", "plain"]
Step = PlainStep | CapturedStep
Pair = tuple[NDArray[np.int64], Slot]  # a batch's groups, and the same batch padded

LOOKED_AT = 64  # batches among which some of one shape are looked for
# How far the loss and the gradient's norm may be from the plain step's, relative to it: half
# precision rounds a product of another shape otherwise.
FLOAT32_GAPS, HALF_GAPS = (1e-4, 1e-3), (5e-3, 5e-2)


def choose_step(kind: StepKind, plain: PlainStep, say: Callable[[str], None]) -> Step:
    """The step of a run, whose weights and optimiser are those that it begins or goes on with.

    ``auto`` captures on a GPU alone: without one the captured step computes the same, but slower.
    Says what was chosen, unless that is the plain step where it was to be expected.
    """
    if kind == "plain" or (kind == "auto" and plain.device.type != "cuda"):
        return plain
    reason = why_plain(plain)
    if not reason:
        try:
            return captured_step(plain, say)
        except Exception as error:  # whatever it is, the plain step does not need it
            reason = f"as {error}"
            if not isinstance(error, CapturedDiffers):
                reason = (
                    f"as the captured step failed ({type(error).__name__}: {first_line(error)})"
                )
            leave(plain.optimizer)
    say(f"plain, {reason}")
    return plain


def owner(task: Task, method: str) -> type:
    """The class that a method of a task comes from."""
    return next(kind for kind in type(task).__mro__ if method in vars(kind))


class CapturedDiffers(Exception):
    """A captured step does not do what the plain one does; says how."""


def captured_step(plain: PlainStep, say: Callable[[str], None]) -> CapturedStep:
    """The captured step, once it was compared; raises ``CapturedDiffers``, or what fails in it."""
    samples = plain.task.place_samples(plain.o.batch_size)
    recorder = Recorder(plain.device) if plain.device.type == "cuda" else None
    tried = CapturedStep(plain, samples, lambda text: None, recorder)
    compare(plain, tried)
    if tried.failure:
        raise CapturedDiffers(f"a step cannot be captured ({tried.failure})")
    plain.task.place_validation()
    how = "captured" if recorder else "of fixed shapes, computed as they come"
    say(f"{how}; the first ones equal the plain step's")
    # The graphs that were compared are of a head without dropout.
    return CapturedStep(plain, samples, say, recorder)


def why_plain(plain: PlainStep) -> str:
    """Why a run cannot be captured, in words that follow "plain, "; "" if it can."""
    task = plain.task
    if task.why_plain:
        return task.why_plain
    if plain.ranks.n > 1:
        return "as several processes share each batch"
    if owner(task, "padded_loss") is not owner(task, "loss"):
        return f"as the loss of {type(task).__name__} has no padded form"
    if plain.scaler.is_enabled():
        return "as float16 may leave updates out"
    if plain.o.accumulate > 1:
        return f"as {plain.o.accumulate} batches make an update"
    if task.head.encoder is not None:
        return "as an encoder learns with the head"
    features = task.train.features
    if features is not None and features.resident is None:
        return f"as the features are not kept on {plain.device}"
    return ""


def compare(plain: PlainStep, captured: CapturedStep) -> None:
    """Take some updates by both steps, and go back; raises ``CapturedDiffers``.

    Both start from the same weights and get the same batches, without dropout.
    """
    kept = KeptState(plain)
    pairs = pairs_of_one_shape(captured)
    found = []
    try:
        with without_chance(plain.task.head):
            plain.task.head.train()
            for take in (take_plain, take_captured):
                found.append([take(plain, captured, *pair) for pair in pairs])
                kept.restore()
    finally:
        plain.optimizer.zero_grad(set_to_none=True)
        kept.restore()
    gaps = HALF_GAPS if plain.task.precision.amp else FLOAT32_GAPS
    for ours, theirs in zip(*found, strict=True):
        for name, a, b, gap in zip(("loss", "gradient norm"), ours, theirs, gaps, strict=True):
            if not abs(a - b) <= gap * abs(a):
                raise CapturedDiffers(
                    f"the captured step's {name} is {b:.6g}, the plain one's {a:.6g}"
                )


def pairs_of_one_shape(captured: CapturedStep) -> list[Pair]:
    """Four batches of one shape, of which the first is computed as it comes, the second recorded.

    They are three, and the first again; fewer where there are fewer.
    """
    samples = captured.task.train
    order = np.random.default_rng(0).permutation(samples.n_groups)
    cuts = samples.cuts(order, captured.samples.batch_size)[:LOOKED_AT]
    slots = captured.samples.plan(np.concatenate(cuts))
    shape = Counter(slot.shape for slot in slots).most_common(1)[0][0]
    pairs = [pair for pair in zip(cuts, slots, strict=True) if pair[1].shape == shape]
    return (pairs[:3] * 4)[:4]


def take_plain(
    plain: PlainStep, captured: CapturedStep, groups: NDArray[np.int64], slot: Slot
) -> tuple[float, float]:
    """The loss and the gradient's norm of a plain update."""
    samples = plain.task.train
    batch = samples.batch(groups, samples.image_row[groups], plain.device)
    loss = plain.backward(batch, 1, last=True)
    norm = plain.gradient_norm()
    plain.update(plain.o.lr)
    return float(loss), float(norm)


def take_captured(
    plain: PlainStep, captured: CapturedStep, groups: NDArray[np.int64], slot: Slot
) -> tuple[float, float]:
    """The same of a captured update."""
    captured.backward(slot, 1, last=True)
    captured.update(plain.o.lr)
    loss, norm = captured.result.tolist()
    return loss, norm


class KeptState:
    """What an update changes: weights, statistics, the optimiser's moments, and random numbers."""

    def __init__(self, step: PlainStep) -> None:
        self.step = step
        state = step.task.head.state_dict()
        self.weights = {name: value.clone() for name, value in state.items()}
        self.moments = copy_moments(step.optimizer.state)
        self.random = random_state(step.device)

    @torch.no_grad()
    def restore(self) -> None:
        """Put it back."""
        for name, value in self.step.task.head.state_dict().items():
            value.copy_(self.weights[name])
        state = self.step.optimizer.state
        state.clear()
        state.update(copy_moments(self.moments))
        restore_random_state(self.random, self.step.device)


def copy_moments(state: Any) -> dict[Any, dict[str, Any]]:
    """A copy of an optimiser's state."""
    return {p: {name: value.clone() for name, value in own.items()} for p, own in state.items()}


@contextmanager
def without_chance(head: nn.Module) -> Iterator[None]:
    """Switch off what is random in a head while it trains."""
    changed: list[tuple[Any, str, Any]] = []
    for module in head.modules():
        if isinstance(module, (Dropout, nn.Dropout)):
            changed.append((module, "p", module.p))
        if isinstance(getattr(module, "sampling", None), float):
            changed.append((module, "sampling", module.sampling))
    for module, name, _ in changed:
        setattr(module, name, 0.0)
    try:
        yield
    finally:
        for module, name, value in changed:
            setattr(module, name, value)

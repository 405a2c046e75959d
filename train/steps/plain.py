"""The plain step: any batch through autograd, and an update of AdamW."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from ...distributed import Ranks
from ...models.base import Head
from ..data.batches import Batch
from ..data.resident import Slot
from ..settings.config import Optimisation
from ..tasks.task import Task
from .parallel import loss_of


def learning_rate(update: int, total: int, o: Optimisation) -> float:
    """The step size of an update (from 0): linear warm-up, then constant or a half cosine to 0."""
    warmup = o.warmup * total
    if update < warmup:
        return o.lr * (update + 1) / (warmup + 1)
    if o.schedule == "constant":
        return o.lr
    return o.lr * 0.5 * (1 + math.cos(math.pi * (update - warmup) / max(1, total - warmup)))


def parameter_groups(head: Head, o: Optimisation) -> list[dict[str, Any]]:
    """What learns, for the optimiser: the head, and apart from it an encoder at its own rate.

    ``share`` is a group's part of the head's learning rate.
    """
    groups: list[dict[str, Any]] = [{"params": head.own_parameters(), "lr": o.lr, "share": 1.0}]
    if head.encoder is not None:
        share = o.encoder_lr / o.lr
        groups.append({"params": learning(head.encoder), "lr": o.encoder_lr, "share": share})
    return groups


def learning(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that are not fixed."""
    return [p for p in module.parameters() if p.requires_grad]


class PlainStep:
    """Gradients of one batch or several, then an update; any head, device and precision.

    Other steps do the same in another way, and share its optimiser.
    """

    def __init__(self, task: Task, o: Optimisation, ranks: Ranks) -> None:
        self.task, self.o, self.ranks = task, o, ranks
        self.device = task.precision.device
        self.parameters = learning(task.head)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(task.head, o), weight_decay=o.weight_decay, fused=True
        )
        # float16 has no room for small gradients; bfloat16 does.
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=task.precision.amp is torch.float16
        )
        self.loss = loss_of(task, ranks)

    def batches(
        self, order: NDArray[np.int64], skip: int, image_row: NDArray[np.int64] | None = None
    ) -> Iterator[Batch | Slot]:
        """An epoch's batches in this order of groups, without the first ones.

        ``image_row``: the row of each group's image, if that is not the image as it is.
        """
        share, size = self.ranks.share, self.o.batch_size
        return self.task.train.batches(order, size, self.device, skip, image_row, share)

    def backward(self, batch: Any, in_group: int, last: bool) -> Tensor:
        """Add the gradients of a batch, one of ``in_group`` to an update and maybe the last one.

        Returns the sum of its samples' losses, float64, still on the device; it may be read once an
        update is made.
        """
        with self.task.precision.autocast():
            loss = self.loss(batch, last)
        # Gradients of several processes are averaged, but their losses are parts of one.
        torch.autograd.backward(self.scaler.scale(loss / (in_group / self.ranks.n)))
        total: Tensor = loss.detach().double() * batch.part.n_samples
        return total

    def update(self, rate: float) -> bool:
        """Move the weights; False if they stayed, because float16 overflowed."""
        self.set_rate(rate)
        if self.o.clip:
            self.scaler.unscale_(self.optimizer)
            self.clip_gradients(self.gradient_norm())
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return bool(self.scaler.get_scale() >= scale)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next update."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate * group["share"])
            else:
                group["lr"] = rate * group["share"]

    def gradient_norm(self) -> Tensor:
        """The norm of all gradients together."""
        norm: Tensor = get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        return norm

    def clip_gradients(self, norm: Tensor) -> None:
        """Shorten the gradients, of this norm, to the largest norm allowed."""
        # Most gradients are short enough, and a sweep over all of them can be spared; a GPU goes on
        # without waiting for the answer.
        if self.device.type != "cpu" or not norm <= self.o.clip:
            clip_grads_with_norm_(self.parameters, self.o.clip, norm)

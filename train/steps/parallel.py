"""Training by several processes: each update equals that of one process with the whole batch.

All processes cut the same batches and take turns at each batch's images. What each adds to the
whole batch's mean loss is summed by ``DistributedDataParallel``, and batch norms see all images.
"""

import inspect
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.parallel import DistributedDataParallel

from ...distributed import Ranks
from ...errors import InputError
from ...models.layers.cells import BatchNorm, Standardize, follow_statistics
from ..data.batches import Batch, SamplesByImage
from ..tasks.task import Task

Loss = Callable[[Batch, bool], Tensor]


def loss_of(task: Task, ranks: Ranks) -> Loss:
    """The task's loss, to be called for every batch, told whether an update follows it.

    Gradients of several processes are exchanged in the batch that an update follows.
    """
    if ranks.n == 1:
        return lambda batch, last: task.loss(batch)
    module = PartLoss(task, ranks.n)
    # The buffers need no sending: they follow statistics that all processes have.
    known = inspect.signature(DistributedDataParallel).parameters
    buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    options: dict[str, Any] = {buffers: False, "gradient_as_bucket_view": True}
    ddp = DistributedDataParallel(module, **options)
    # Said of an encoder's 1x1 convolutions, whose layout has two names; nothing is lost by it.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view", UserWarning)

    def loss(batch: Batch, last: bool) -> Tensor:
        with nullcontext() if last else ddp.no_sync():
            part: Tensor = ddp(batch)
        return part

    return loss


class PartLoss(nn.Module):
    """A task's loss as a module, which is what ``DistributedDataParallel`` wraps."""

    def __init__(self, task: Task, n: int) -> None:
        super().__init__()
        self.head, self.task, self.n = task.head, task, n
        self.norms = sync_norms(task.head)

    def forward(self, batch: Batch) -> Tensor:
        """What the batch adds to the whole batch's mean loss."""
        for norm in self.norms:
            norm.n_rows = batch.part.n_images
            if isinstance(norm, SyncedBatchNorm):
                norm.copies = self.n if batch.part.n_images < self.n else 1
        return self.task.loss(batch)


def check_same_data(train: SamplesByImage, ranks: Ranks) -> None:
    """Raise ``InputError`` if the processes would not train on the same data."""
    if ranks.n == 1:
        return
    found = [int(part) for part in ranks.gather(torch.tensor(train.checksum(), device="cpu"))]
    others = [rank for rank, value in enumerate(found) if value != found[0]]
    if others:
        raise ranks.shared_error(
            InputError(
                f"Process {others[0]} found other training samples or images than process 0; give "
                "every machine the same data and feature files."
            )
        )


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: FunctionCtx, part: Tensor) -> Tensor:
        total = part.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total


def sum_over_processes(part: Tensor) -> Tensor:
    """The sum over all processes, each of which must call this, forward and backward."""
    total: Tensor = _SumOverProcesses.apply(part)
    return total


class SyncedBatchNorm(BatchNorm):
    """Norms rows by the statistics of all processes' rows, as one process with all of them would.

    ``torch.nn.SyncBatchNorm`` does so on GPUs alone. ``n_rows``: how many different rows the
    processes have together; ``copies``: how many processes have each of them.
    """

    n_rows = 1
    copies = 1

    def forward(self, rows: Tensor) -> Tensor:
        """Norm this process's ``[U, C]`` float32."""
        if not self.training or self.n_rows == 1:
            return self.by_running(rows)
        n = self.n_rows * self.copies
        mean = sum_over_processes(rows.sum(0)) / n
        centred = rows - mean
        variance = sum_over_processes(centred.square().sum(0)) / n
        follow_statistics(self, mean, variance * self.n_rows / (self.n_rows - 1))
        return centred * torch.rsqrt(variance + self.eps) * self.weight + self.bias


def sync_norms(head: nn.Module) -> list[SyncedBatchNorm | Standardize]:
    """Exchange every batch norm of a head for a synced one with the same parameters and buffers.

    What standardises by the batch is told to take that of all processes. Returns all of both, to be
    told before each batch how many images it has.
    """
    synced: list[SyncedBatchNorm | Standardize] = []
    for parent in list(head.modules()):
        if isinstance(parent, Standardize):
            parent.total = sum_over_processes
            synced.append(parent)
        for name, child in list(parent.named_children()):
            if isinstance(child, BatchNorm):
                norm = SyncedBatchNorm(child.num_features, child.eps, child.momentum)
                norm.load_state_dict(child.state_dict())
                # The optimiser and the checkpoint go on with the same parameters.
                norm.weight, norm.bias = child.weight, child.bias
                norm.to(child.weight.device)
                setattr(parent, name, norm)
                synced.append(norm)
    return synced

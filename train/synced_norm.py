"""Batch norm over the images of all processes."""

import torch
import torch.distributed
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from ..models.layers.cells import BatchNorm, Standardize


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
        self._follow(mean.detach(), variance.detach() * self.n_rows / (self.n_rows - 1))
        return centred * torch.rsqrt(variance + self.eps) * self.weight + self.bias

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked += 1


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

"""Training by several processes, as ``torchrun`` starts them; alone, a process does none of it.

All processes cut the same batches and take turns at each batch's images. What each adds to the
whole batch's mean loss is summed by ``DistributedDataParallel``, and batch norms see all images: an
update is that of one process with the whole batch. Rank 0 evaluates, writes and speaks.
"""

import inspect
import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import InputError
from .data.batches import WHOLE, Batch, Share
from .synced_norm import SyncedBatchNorm, sync_norms
from .tasks.task import Task

T = TypeVar("T")
Loss = Callable[[Batch, bool], Tensor]

# Rank 0 evaluates while the others wait; long validation splits take their time.
PATIENCE = timedelta(hours=6)
# What the errors of torch.distributed have in common when a peer is gone.
LOST_PEER = ("gloo", "nccl", "onnection", "process group")


class Alone:
    """The only process: nothing to share, nobody to wait for."""

    share = WHOLE
    is_first = True

    @property
    def n(self) -> int:
        """How many processes train together."""
        return self.share.of

    def device(self, device: torch.device) -> torch.device:
        """The device of this process, where all were told to take that one."""
        return device

    def loss_of(self, task: Task) -> Loss:
        """The task's loss, to be called for every batch, told whether an update follows it."""
        return lambda batch, last: task.loss(batch)

    def first_does(self, work: Callable[[], T]) -> T:
        """Have rank 0 do some work while the others wait; all get the result, which is JSON.

        If it fails, rank 0 raises its error and the others end with exit code 1, in silence.
        """
        return work()

    def together(self, work: Callable[[], T]) -> T:
        """Have all do the same work; of those for which it fails, one raises and the rest end."""
        return work()

    def any(self, flag: bool) -> bool:
        """Whether a flag is up in any process."""
        return flag

    def sum(self, part: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        return part

    def gather(self, part: Tensor) -> list[Tensor]:
        """A tensor of every process, on the CPU, all of one shape and dtype."""
        return [part]

    def check_same(self, checksum: Callable[[], int]) -> None:
        """Raise ``InputError`` if the processes would not train on the same data."""

    def agreed(self, error: InputError) -> BaseException:
        """What each process is to raise when the same error ends all of them."""
        return error


class Ranks(Alone):
    """This process among several."""

    def __init__(self, rank: int, n: int) -> None:
        self.share = Share(rank, n)
        self.is_first = rank == 0

    def device(self, device: torch.device) -> torch.device:
        """See :class:`Alone`: every process of a machine has a GPU of its own."""
        if device.type != "cuda":
            return device
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise InputError(
                f"This machine has {torch.cuda.device_count()} CUDA devices for process "
                f"{local + 1}; start one process a device (--nproc-per-node), or add --device cpu."
            )
        torch.cuda.set_device(local)
        return torch.device("cuda", local)

    def loss_of(self, task: Task) -> Loss:
        """See :class:`Alone`; gradients come together in the batch that an update follows."""
        module = PartLoss(task, self.n)
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

    def first_does(self, work: Callable[[], T]) -> T:
        """See :class:`Alone`."""
        result, error = None, None
        if self.is_first:
            try:
                result = work()
            except Exception as raised:
                error = raised
        said = b"" if error is not None else json.dumps(result).encode()
        length = torch.tensor(-1 if error is not None else len(said))
        dist.broadcast(length, src=0)
        if error is not None:
            raise error
        if length < 0:
            raise SystemExit(1)
        heard = torch.frombuffer(bytearray(said.ljust(int(length))), dtype=torch.uint8)
        dist.broadcast(heard, src=0)
        answer: T = json.loads(heard.numpy().tobytes())
        return answer

    def together(self, work: Callable[[], T]) -> T:
        """See :class:`Alone`."""
        result, error = None, None
        try:
            result = work()
        except Exception as raised:
            error = raised
        speaker = torch.tensor(self.n if error is None else self.share.rank)
        dist.all_reduce(speaker, op=dist.ReduceOp.MIN)
        if speaker == self.n:
            return result  # type: ignore[return-value]
        if error is not None and speaker == self.share.rank:
            raise error
        raise SystemExit(1)

    def any(self, flag: bool) -> bool:
        """See :class:`Alone`; asked of the processors, so that no GPU has to be waited for."""
        up = torch.tensor(int(flag))
        dist.all_reduce(up, op=dist.ReduceOp.MAX)
        return bool(up)

    def sum(self, part: Tensor) -> Tensor:
        """See :class:`Alone`."""
        total = part.clone()
        dist.all_reduce(total)
        return total

    def gather(self, part: Tensor) -> list[Tensor]:
        """See :class:`Alone`."""
        parts = [torch.empty_like(part) for _ in range(self.n)]
        dist.all_gather(parts, part)
        return parts

    def check_same(self, checksum: Callable[[], int]) -> None:
        """See :class:`Alone`."""
        found = [int(part) for part in self.gather(torch.tensor(checksum()))]
        others = [rank for rank, value in enumerate(found) if value != found[0]]
        if others:
            raise self.agreed(
                InputError(
                    f"Process {others[0]} found other training texts or images than process 0; "
                    "give every machine the same data and feature files."
                )
            )

    def agreed(self, error: InputError) -> BaseException:
        """See :class:`Alone`: rank 0 speaks for all."""
        return error if self.is_first else SystemExit(1)


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


@contextmanager
def join_ranks() -> Iterator[Alone]:
    """The processes that ``torchrun`` started, told by ``RANK`` and ``WORLD_SIZE``.

    They meet over gloo, and over NCCL for what is on GPUs. Raises ``InputError`` when another of
    them has gone.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Alone()
        return
    with_gpus = torch.cuda.is_available() and dist.is_nccl_available()
    backend = "cpu:gloo,cuda:nccl" if with_gpus else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    except RuntimeError as error:
        if not any(word in str(error) for word in LOST_PEER):
            raise
        raise InputError(
            "Another of the processes ended early (see its message); go on from the last epoch "
            "that was finished with --resume, and as many processes as you like."
        ) from error
    dist.destroy_process_group()

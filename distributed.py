"""Several processes on one job, as ``torchrun`` starts them; alone, a process waits for nobody."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from .errors import InputError

T = TypeVar("T")

# Rank 0 makes a file or evaluates while the others wait; terabytes and long splits take their time.
_TIMEOUT = timedelta(hours=6)
# What the errors of torch.distributed have in common when another process has ended.
_LOST_PEER = ("gloo", "nccl", "onnection", "process group")


@dataclass(frozen=True)
class Share:
    """What one process takes of things that are counted: every ``of``-th, from ``rank`` on."""

    rank: int = 0
    of: int = 1


WHOLE = Share()


class Ranks:
    """This process among those that work together; by default the only one.

    ``rank`` counts all processes, ``local_rank`` those of this machine.
    """

    def __init__(self, rank: int = 0, n: int = 1, local_rank: int = 0) -> None:
        self.share = Share(rank, n)
        self.n, self.local_rank = n, local_rank
        self.is_first = rank == 0  # writes the files, and speaks for all

    def wait_for_all(self) -> None:
        """Return once every process has come here."""
        self.any(False)

    def first_does(self, work: Callable[[], T]) -> T:
        """Have rank 0 do some work while the others wait; all get the result, which is JSON.

        If it fails, rank 0 raises its error and the others end with exit code 1, in silence.
        """
        if self.n == 1:
            return work()
        result, error = None, None
        if self.is_first:
            try:
                result = work()
            except Exception as raised:
                error = raised
        sent = json.dumps(result).encode() if self.is_first else b""
        length = torch.tensor(-1 if error is not None else len(sent))
        dist.broadcast(length, src=0)
        if error is not None:
            raise error
        if length < 0:
            raise SystemExit(1)
        received = torch.frombuffer(bytearray(sent or int(length)), dtype=torch.uint8)
        dist.broadcast(received, src=0)
        answer: T = json.loads(received.numpy().tobytes())
        return answer

    def together(self, work: Callable[[], T]) -> T:
        """Have all do the same work; of those for which it fails, one raises and the rest end."""
        if self.n == 1:
            return work()
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
        """Whether a flag is up in any process; exchanged on the CPU, so that no GPU is awaited."""
        if self.n == 1:
            return flag
        up = torch.tensor(int(flag))
        dist.all_reduce(up, op=dist.ReduceOp.MAX)
        return bool(up)

    def sum(self, part: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        if self.n == 1:
            return part
        total = part.clone()
        dist.all_reduce(total)
        return total

    def gather(self, part: Tensor) -> list[Tensor]:
        """A tensor of every process, on the CPU, all of one shape and dtype."""
        if self.n == 1:
            return [part]
        parts = [torch.empty_like(part) for _ in range(self.n)]
        dist.all_gather(parts, part)
        return parts

    @contextmanager
    def outliving_launcher(self) -> Iterator[None]:
        """Ignore SIGTERM from here on if the work inside fails: the launcher sends it to the rest.

        For work that handles signals itself: what it restores at its end is then this.
        """
        if self.n == 1:
            yield
            return
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        yield
        signal.signal(signal.SIGTERM, before)

    def shared_error(self, error: InputError) -> BaseException:
        """What each process raises when the same error ends all of them: rank 0 speaks for all."""
        return error if self.is_first else SystemExit(1)


@contextmanager
def join_ranks(remedy: str, on_gpus: bool = False) -> Iterator[Ranks]:
    """The processes that ``torchrun`` started, known by ``RANK`` and ``WORLD_SIZE``.

    They meet over gloo and, ``on_gpus``, over NCCL for what is on GPUs. Raises ``InputError``,
    which ends in the ``remedy``, when another of them has ended.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    with_nccl = on_gpus and torch.cuda.is_available() and dist.is_nccl_available()
    dist.init_process_group("cpu:gloo,cuda:nccl" if with_nccl else "gloo", timeout=_TIMEOUT)
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), local_rank)
    except RuntimeError as error:
        if not any(word in str(error) for word in _LOST_PEER):
            raise
        # The launcher ends the rest soon; what went wrong is told before.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise InputError(
            f"Another of the processes ended early (see its message); {remedy}"
        ) from error
    dist.destroy_process_group()

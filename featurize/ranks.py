"""Several processes on one file: who is who, under ``torchrun`` or alone."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed

from ..errors import InputError
from .extract import Share

# Rank 0 makes the file while the others wait; reserving terabytes may take its time.
PATIENCE = timedelta(hours=6)


class Ranks:
    """This process's place among those that ``torchrun`` started; alone, it is rank 0 of 1."""

    def __init__(self, rank: int, world: int, local_rank: int) -> None:
        self.share = Share(rank, world)
        self.local_rank = local_rank

    @property
    def is_first(self) -> bool:
        """Whether this process makes and checks the file, and speaks for all."""
        return self.share.index == 0

    def wait_for_all(self) -> None:
        """Return once every process has come here."""
        if self.share.of > 1:
            with explained():
                torch.distributed.barrier()

    def first_does(self, work: Callable[[], object]) -> None:
        """Have rank 0 do some work while the others wait.

        If it fails, rank 0 raises its error and the others end with exit code 1, in silence.
        """
        error: Exception | None = None
        if self.is_first:
            try:
                work()
            except (InputError, OSError) as raised:
                error = raised
        if self.share.of > 1:
            failed = torch.tensor(error is not None)
            with explained():
                torch.distributed.broadcast(failed, src=0)
            if failed and not self.is_first:
                raise SystemExit(1)
        if error is not None:
            raise error


@contextmanager
def explained() -> Iterator[None]:
    """Turn what gloo raises when a peer is gone into a sentence."""
    try:
        yield
    except RuntimeError as error:
        raise InputError(
            "Another of the processes ended early (see its message); what was done is kept. Run "
            "the same command again to go on."
        ) from error


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """The processes that ``torchrun`` started, told by ``RANK`` and ``WORLD_SIZE``.

    They meet over gloo, since all they exchange is that they have come so far.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks(0, 1, 0)
        return
    torch.distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        rank = torch.distributed.get_rank()
        yield Ranks(rank, world, int(os.environ.get("LOCAL_RANK", "0")))
    finally:
        torch.distributed.destroy_process_group()

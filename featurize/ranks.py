"""Several processes on one file: who is who, under ``torchrun`` or alone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed

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
            torch.distributed.barrier()


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

"""Runs ``train-head`` again and again, as JSON says: ``[{"arguments": [...], ...}, ...]``.

``dropout`` false leaves it out; ``stop_at``: rank 1 gets SIGTERM in that batch.
"""

import json
import os
import signal
import sys
import warnings
from contextlib import nullcontext, suppress

import torch
from frostgrid.distributed import join_ranks
from frostgrid.models.layers import dropout
from frostgrid.train import cli, trainer


def stop_in(batch: int) -> None:
    """Have rank 1 get SIGTERM in so many batches."""
    backward, left = trainer.Trainer._backward, batch

    def stopped(self, *arguments):
        nonlocal left
        left -= 1
        if left == 0 and self.ranks.share.rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return backward(self, *arguments)

    trainer.Trainer._backward = stopped


if __name__ == "__main__":
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    forward = dropout.Dropout.forward
    with join_ranks(
        "go on.", on_gpus=True
    ) as ranks:  # processes that torchrun started can meet once
        cli.join_ranks = lambda *a, **k: nullcontext(ranks)
        for run in json.loads(sys.argv[1]):
            dropout.Dropout.forward = forward if run["dropout"] else lambda self, x: x
            if run["stop_at"]:
                stop_in(run["stop_at"])
            with suppress(SystemExit):
                cli.train_head.main(run["arguments"], standalone_mode=False)

"""Runs ``train-head`` again and again, as JSON says: ``[{"arguments": [...], ...}, ...]``.

``dropout`` false leaves it out; ``stop_at``: rank 1 gets SIGTERM in that batch. Or once, for
``{"arguments": [...], "late": seconds}``: a sentence on what went wrong is printed so much later,
as on a busy machine.
"""

import json
import os
import signal
import sys
import time
import warnings
from contextlib import nullcontext, suppress

import click
import torch
from frostgrid import distributed
from frostgrid.models.layers import dropout
from frostgrid.train import cli, control
from frostgrid.train.settings.config import Optimisation
from frostgrid.train.settings.recipes import Recipe
from frostgrid.train.steps.plain import PlainStep


def stop_in(batch: int) -> None:
    """Have rank 1 get SIGTERM in so many batches."""
    backward, left = PlainStep.backward, batch

    def stopped(self, *arguments):
        nonlocal left
        left -= 1
        if left == 0 and self.ranks.share.rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return backward(self, *arguments)

    PlainStep.backward = stopped


def run_late(arguments, seconds):
    """Run the command as from a shell, but be slow to tell what went wrong."""
    show = click.ClickException.show

    def show_late(self, file=None):
        time.sleep(seconds)
        show(self, file)

    click.ClickException.show = show_late
    cli.train_head.main(arguments)


def shorten_control():
    """Have the control trained for two epochs, instead of a thousand updates."""
    control.blind_recipe = lambda name: Recipe({}, Optimisation(epochs=2), ())


def run_in_turn(runs):
    """Do one run after the other, in processes that meet once, as torchrun's can."""
    forward = dropout.Dropout.forward
    with distributed.join_ranks("go on.", on_gpus=True) as ranks:
        distributed.join_ranks = lambda *a, **k: nullcontext(ranks)
        for run in runs:
            dropout.Dropout.forward = forward if run["dropout"] else lambda self, x: x
            if run["stop_at"]:
                stop_in(run["stop_at"])
            with suppress(SystemExit):
                cli.train_head.main(run["arguments"], standalone_mode=False)


if __name__ == "__main__":
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    shorten_control()
    told = json.loads(sys.argv[1])
    if isinstance(told, dict):
        run_late(told["arguments"], told["late"])
    run_in_turn(told)

"""How far a run is, and the file from which it goes on."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ..distributed import Ranks
from ..models.base import Head
from .checkpoint import (
    damaged,
    flatten_optimizer,
    load_weights,
    random_name,
    random_state,
    read_tensors,
    restore_optimizer,
    restore_random_state,
    write_tensors,
)
from .settings.config import RunConfig, convert
from .steps.averaging import WeightAverage
from .steps.plain import PlainStep


@dataclass
class Progress:
    """How far a run is; all that resuming needs beside tensors."""

    epoch: int = 1  # being trained, from 1
    batches: int = 0  # done in this epoch
    updates: int = 0  # done in all
    loss_sum: float = 0.0  # of this epoch's items
    items: int = 0  # of this epoch
    train_seconds: float = 0.0  # of this epoch, before an interruption
    wait_seconds: float = 0.0  # of these, waiting for data
    best_epoch: int = 0
    best_score: float = -math.inf
    selection: float | None = None  # the moving average that selects the best epoch
    best_selection: float | None = None  # and its value there; older runs select by the score
    best_loss: float = math.inf  # the validation loss there

    def next_epoch(self) -> None:
        """Go on to the next epoch."""
        self.epoch += 1
        self.restart_epoch()

    def restart_epoch(self) -> None:
        """Forget what belongs to one epoch."""
        self.batches = self.items = 0
        self.loss_sum = self.train_seconds = self.wait_seconds = 0.0

    def forget_scores(self) -> None:
        """Forget the best epoch: scores on other data say nothing to those that follow."""
        self.best_epoch = self.epoch - 1
        self.best_score = -math.inf
        self.selection = self.best_selection = None
        self.best_loss = math.inf


class RunState:
    """A run's progress, weights, their average, optimiser and random numbers, written and read."""

    def __init__(self, head: Head, step: PlainStep, config: RunConfig, ranks: Ranks) -> None:
        self.head, self.step, self.config, self.ranks = head, step, config, ranks
        self.progress = Progress()
        self.average: WeightAverage | None = None
        if config.optimisation.averaging:
            named = {name: p for name, p in head.named_parameters() if p.requires_grad}
            self.average = WeightAverage(named, config.optimisation.averaging)
        if not ranks.is_first:
            torch.manual_seed(self._dropout_seed())

    def write(self, path: Path) -> None:
        """Write all that resuming needs."""
        tensors = {f"head.{k}": v for k, v in self.head.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average.{k}": v for k, v in self.average.tensors.items()}
        tensors |= flatten_optimizer(self.step.optimizer)
        for name, state in random_state(self.step.device).items():
            every = self.ranks.gather(state)
            tensors |= {random_name(name, rank): part for rank, part in enumerate(every)}
        about = {
            "progress": asdict(self.progress),
            "scaler": self.step.scaler.state_dict(),
            "digests": self.config.digests,
        }
        self.ranks.first_does(lambda: write_tensors(path, tensors, about))

    def read(self, path: Path) -> dict[str, str]:
        """Restore what was written; returns the digests of the data that it was trained on.

        Raises ``InputError`` for a file that is damaged or of another run.
        """
        tensors, about = read_tensors(path)
        weights = {k[len("head.") :]: v for k, v in tensors.items() if k.startswith("head.")}
        load_weights(self.head, weights, path)
        try:
            restore_optimizer(self.step.optimizer, tensors)
            if self.average is not None:
                self.average.load({k.removeprefix("average."): v for k, v in tensors.items()})
            if about["scaler"]:  # none was needed where the run began
                self.step.scaler.load_state_dict(about["scaler"])
            self.progress = convert(about["progress"], Progress)
            rank = self.ranks.share.rank
            restore_random_state(tensors, self.step.device, rank, self._dropout_seed())
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise damaged(path, error) from error
        return convert(about.get("digests", {}), dict[str, str])

    def _dropout_seed(self) -> int:
        """Where a process begins to draw that has no state to go on from: each somewhere else."""
        return hash((self.config.seed, self.progress.updates, self.ranks.share.rank)) % 2**63

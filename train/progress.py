"""How a training run looks on the terminal and in TensorBoard."""

from pathlib import Path
from typing import Any

from torch.utils.tensorboard.writer import SummaryWriter

from ..console import progress_bar, say_duration
from .tasks.task import Task


def print_now(text: str) -> None:
    """Print a line that a pipe's reader sees at once."""
    print(text, flush=True)


class Watcher:
    """Is told how the training goes, and does nothing with it."""

    def start_epoch(self, epoch: int, n_batches: int, done: int) -> None:
        """An epoch starts, with so many batches, of which some were done before a resume."""

    def step(self, loss: float | None) -> None:
        """A batch is done; now and then with the running loss."""

    def end_epoch(self, metrics: dict[str, Any]) -> None:
        """An epoch is done and written."""

    def close(self) -> None:
        """Nothing more will come."""


class Terminal(Watcher):
    """Shows the training as progress bars and one line an epoch, and writes TensorBoard events."""

    def __init__(self, run: Path, task: Task, n_epochs: int) -> None:
        self.task, self.n_epochs = task, n_epochs
        self.n_timed, self.timed = 0, 0.0  # epochs that were seen, and their seconds
        self.events = SummaryWriter(str(run))
        self.bar: Any = None

    def start_epoch(self, epoch: int, n_batches: int, done: int) -> None:
        """See :class:`Watcher`."""
        name = f"epoch {epoch} of {self.n_epochs}"
        self.bar = progress_bar(n_batches, initial=done, desc=name, leave=False, unit="batch")

    def step(self, loss: float | None) -> None:
        """See :class:`Watcher`."""
        assert self.bar is not None
        if loss is not None:
            self.bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        self.bar.update()

    def end_epoch(self, metrics: dict[str, Any]) -> None:
        """See :class:`Watcher`."""
        assert self.bar is not None
        self.bar.close()
        epoch, seconds = metrics["epoch"], metrics["train_seconds"] + metrics["val_seconds"]
        for name, value in metrics.items():
            if name != "epoch":
                self.events.add_scalar(name, value, epoch)
        self.events.flush()
        validated = ""
        if self.task.validates:
            score = self.task.score_format.format(metrics[self.task.score_name])
            validated = f"val loss {metrics['val_loss']:.4f}  val {score}  "
        print(
            f"epoch {epoch:3d} of {self.n_epochs}  train loss {metrics['train_loss']:.4f}  "
            f"{validated}"
            f"{metrics['items_per_second']:,.0f} {self.task.item_name}/s  "
            f"{metrics['train_seconds']:.1f} + {metrics['val_seconds']:.1f} s"
            f"{self.time_left(epoch, seconds)}",
            flush=True,
        )

    def time_left(self, epoch: int, seconds: float) -> str:
        """How long all other epochs take, each as long as the mean of those that were seen."""
        self.n_timed, self.timed = self.n_timed + 1, self.timed + seconds
        n_left = self.n_epochs - epoch
        return f", about {say_duration(n_left * self.timed / self.n_timed)} left" if n_left else ""

    def close(self) -> None:
        """Close the bar and the event file."""
        if self.bar is not None:
            self.bar.close()
        self.events.close()

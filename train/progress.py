"""How a training run looks on the terminal and in TensorBoard."""

from pathlib import Path
from typing import Any

from torch.utils.tensorboard.writer import SummaryWriter
from tqdm import tqdm

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

    def __init__(self, run: Path, task: Task) -> None:
        self.task = task
        self.events = SummaryWriter(str(run))
        self.bar: tqdm[Any] | None = None

    def start_epoch(self, epoch: int, n_batches: int, done: int) -> None:
        """See :class:`Watcher`."""
        self.bar = tqdm(
            total=n_batches,
            initial=done,
            desc=f"epoch {epoch}",
            leave=False,
            unit="batch",
            disable=None,
        )

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
        epoch = metrics["epoch"]
        for name, value in metrics.items():
            if name != "epoch":
                self.events.add_scalar(name, value, epoch)
        self.events.flush()
        score = self.task.score_format.format(metrics[self.task.score_name])
        print(
            f"epoch {epoch:3d}  train loss {metrics['train_loss']:.4f}  "
            f"val loss {metrics['val_loss']:.4f}  val {score}  "
            f"{metrics['items_per_second']:,.0f} {self.task.item_name}/s  "
            f"{metrics['train_seconds']:.1f} + {metrics['val_seconds']:.1f} s",
            flush=True,
        )

    def close(self) -> None:
        """Close the bar and the event file."""
        if self.bar is not None:
            self.bar.close()
        self.events.close()

"""The training loop: batches to updates, an evaluation every epoch, states that resume exactly."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..console import StopRequest
from ..distributed import Ranks
from ..errors import InputError
from .checkpoint import write_tensors
from .data.digests import name_changes
from .data.order import image_order
from .data.prefetch import Waited
from .memory import peak_memory_bytes
from .progress import Watcher
from .run_folder import RunFolder
from .settings.config import RunConfig
from .settings.recipes import updates_of_epoch
from .state import Progress, RunState
from .steps.choice import Step, choose_step
from .steps.plain import PlainStep, learning_rate
from .tasks.task import Task

SELECT_BY = {"cider": "val_cider"}  # the metric that selects the best epoch, if not the score

# Of that metric: BLEU-4 without one matched 4-gram is not 0 but 1e-10, by the official constants.
LEAST_GAIN = 1e-6


def moving_average(before: float | None, value: float, weight: float) -> float:
    """An exponential moving average, in which all earlier values have this weight together."""
    return value if before is None else weight * before + (1 - weight) * value


class Trainer:
    """Trains a task's head in a run folder."""

    def __init__(
        self, task: Task, config: RunConfig, run: RunFolder, ranks: Ranks | None = None
    ) -> None:
        self.task, self.config, self.run = task, config, run
        self.ranks = ranks or Ranks()
        self.o = config.optimisation
        self.device = task.precision.device
        self.plain = PlainStep(task, self.o, self.ranks)
        self.step: Step = self.plain
        self.state = RunState(task.head, self.plain, config, self.ranks)
        self.total_updates = self.o.epochs * updates_of_epoch(self.o, task.train.n_items)

    @property
    def progress(self) -> Progress:
        """How far the run is."""
        return self.state.progress

    def choose_step(self, say: Callable[[str], None]) -> None:
        """Choose how updates are computed, once the weights are those to begin or go on with."""
        self.step = choose_step(self.config.step, self.plain, say)

    def fit(self, watcher: Watcher, stop: StopRequest) -> bool:
        """Train until the last epoch or until nothing improves; False if asked to stop before.

        Raises ``InputError`` when the loss is no number any more; the last good epoch's files stay.
        """
        p = self.progress
        while p.epoch <= self.o.epochs and not self._is_stuck():
            if not self._train_epoch(watcher, stop):
                self.save_last()
                return False
            with self._averaged():
                metrics = self._evaluate()
            self.ranks.first_does(partial(self.run.append_metrics, metrics))
            p.next_epoch()
            self.save_last()
            watcher.end_epoch(metrics)
            if self.ranks.any(bool(stop)):
                return False
        return True

    def _is_stuck(self) -> bool:
        return 0 < self.o.patience < self.progress.epoch - self.progress.best_epoch

    def _train_epoch(self, watcher: Watcher, stop: StopRequest) -> bool:
        p, o, task = self.progress, self.o, self.task
        order = image_order(self.config.order, task.train.n_groups, self.config.seed, p.epoch)
        rows = task.train.draw_rows(self.config.seed, p.epoch)
        cuts = task.train.cuts(order, o.batch_size)
        watcher.start_epoch(p.epoch, len(cuts), p.batches)
        task.head.train()
        before, started = p.train_seconds, time.perf_counter()
        before_sum = p.loss_sum if self.ranks.is_first else 0.0
        loss_sum = torch.tensor(before_sum, device=self.device, dtype=torch.float64)
        batches = self.step.batches(order, p.batches, rows)
        waited = Waited(batches)
        for batch in waited:
            group = p.batches // o.accumulate * o.accumulate
            in_group = min(o.accumulate, len(cuts) - group)
            last = p.batches + 1 - group == in_group
            loss = self.step.backward(batch, in_group, last)
            p.batches, p.items = p.batches + 1, p.items + batch.part.n_samples
            if last:
                # An update that float16 overflowed is left out, and the schedule does not move.
                p.updates += self.step.update(learning_rate(p.updates, self.total_updates, o))
                if self.state.average is not None:
                    self.state.average.update(p.updates)
            loss_sum += loss
            show = p.batches % 20 == 0 or p.batches == len(cuts)
            watcher.step(self._running_loss(loss_sum) if show else None)
            if last and self.ranks.any(bool(stop)):
                break
        self._running_loss(loss_sum)
        p.train_seconds = before + time.perf_counter() - started
        p.wait_seconds += waited.seconds
        return p.batches == len(cuts)

    def _running_loss(self, loss_sum: Tensor) -> float:
        p = self.progress
        p.loss_sum = float(self.ranks.sum(loss_sum))
        loss = p.loss_sum / max(1, p.items)
        if not math.isfinite(loss):
            raise self.ranks.shared_error(
                InputError(
                    f"The training loss is {loss} in epoch {p.epoch}, batch {p.batches}: the "
                    f"training diverged; train again with a smaller --lr than {self.o.lr} (or "
                    "--amp off)."
                )
            )
        return loss

    def _averaged(self) -> AbstractContextManager[None]:
        """The context in which the head has the weights to validate and to keep."""
        average = self.state.average
        return nullcontext() if average is None else average.applied()

    def _evaluate(self) -> dict[str, Any]:
        p, task = self.progress, self.task
        started = time.perf_counter()
        task.head.eval()
        scores = self.ranks.first_does(task.evaluate) if task.validates else {}
        metrics: dict[str, Any] = {
            "epoch": p.epoch,
            "train_loss": p.loss_sum / max(1, p.items),
            **scores,
            **task.training_metrics(),
            "train_seconds": p.train_seconds,
            "val_seconds": time.perf_counter() - started,
            "wait_seconds": p.wait_seconds,
            "items_per_second": p.items / p.train_seconds,
            "lr": float(self.plain.optimizer.param_groups[0]["lr"]),
            "peak_memory_bytes": peak_memory_bytes(self.device),
        }
        if not task.validates:  # the last epoch is kept
            p.best_epoch = p.epoch
            self.ranks.first_does(self._save_best)
        elif self._is_best(metrics):
            p.best_epoch, p.best_score = p.epoch, scores[task.score_name]
            self.ranks.first_does(self._save_best)
        return metrics

    def _is_best(self, metrics: dict[str, Any]) -> bool:
        """Whether this epoch is the best so far; adds ``val_selection``, by which that is told.

        Where it is equal, of the first epochs that describe no image well for example, the loss
        tells.
        """
        p, o = self.progress, self.o
        loss, value = metrics["val_loss"], metrics[SELECT_BY.get(o.select_by, self.task.score_name)]
        p.selection = metrics["val_selection"] = moving_average(p.selection, value, o.smoothing)
        best = p.best_score if p.best_selection is None else p.best_selection
        gain = p.selection - best
        # An older run has recorded its best score alone, and not the loss there.
        tie = abs(gain) < LEAST_GAIN and p.best_selection is not None and loss < p.best_loss
        if not (gain >= LEAST_GAIN or tie):
            return False
        p.best_selection, p.best_loss = p.selection, loss
        return True

    def _save_best(self) -> None:
        p, digests = self.progress, self.config.digests
        score = p.best_score if self.task.validates else None
        about = {"epoch": p.epoch, "score": score, "digests": digests}
        write_tensors(self.run.best, dict(self.task.head.state_dict()), about)
        if self.task.validates:
            self.task.write_predictions(self.run.predictions)

    def save_last(self) -> None:
        """Write all that resuming needs."""
        self.state.write(self.run.last)

    def resume(self, recorded: dict[str, str], accept_changed_data: bool = False) -> list[str]:
        """Go back to the state of :meth:`save_last`; the same machine goes on to the same bits.

        That takes as many processes as before, each of which draws its own dropout. Raises
        ``InputError`` if the data are not those of the ``recorded`` digests, or of those in the
        checkpoint, unless that is accepted; an epoch that was begun on other data is then begun
        again. Returns what to say.
        """
        recorded = {**recorded, **self.ranks.together(lambda: self.state.read(self.run.last))}
        changed = name_changes(recorded, self.config.digests)
        if changed and not accept_changed_data:
            raise self.ranks.shared_error(
                InputError(
                    f"{self.run.path}: {changed} are not those that the run was trained on; put "
                    "the old files back, or add --accept-changed-data to go on with these."
                )
            )
        notes = []
        if changed:
            self._go_on_with_changed_data("validation" in changed)
            notes.append(f"{changed} are not those that the run was begun with")
        elif not recorded:
            notes.append("by an earlier version, without digests: its data cannot be compared")
        note = self.ranks.first_does(lambda: self.run.keep_epochs(self.progress.epoch - 1))
        return notes + [note] * bool(note)

    def _go_on_with_changed_data(self, validation: bool) -> None:
        self.progress.restart_epoch()
        if validation and self.progress.epoch <= self.o.epochs:
            self.progress.forget_scores()

"""The training loop: batches to updates, an evaluation every epoch, states that resume exactly."""

import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from ..console import StopRequest
from ..distributed import Ranks
from ..errors import InputError
from ..models.base import Head
from .averaging import WeightAverage
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
from .data.batches import Batch
from .data.digests import name_changes
from .data.order import image_order
from .data.prefetch import Waited
from .memory import peak_memory_bytes
from .parallel import loss_of
from .progress import Watcher
from .run_folder import RunFolder
from .settings.config import Optimisation, RunConfig, convert
from .settings.recipes import updates_of_epoch
from .tasks.task import Task

SELECT_BY = {"cider": "val_cider"}  # the metric that selects the best epoch, if not the score

# Of that metric: BLEU-4 without one matched 4-gram is not 0 but 1e-10, by the official constants.
LEAST_GAIN = 1e-6


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


def learning_rate(update: int, total: int, o: Optimisation) -> float:
    """The step size of an update (from 0): linear warm-up, then constant or a half cosine to 0."""
    warmup = o.warmup * total
    if update < warmup:
        return o.lr * (update + 1) / (warmup + 1)
    if o.schedule == "constant":
        return o.lr
    return o.lr * 0.5 * (1 + math.cos(math.pi * (update - warmup) / max(1, total - warmup)))


def moving_average(before: float | None, value: float, weight: float) -> float:
    """An exponential moving average, in which all earlier values have this weight together."""
    return value if before is None else weight * before + (1 - weight) * value


def parameter_groups(head: Head, o: Optimisation) -> list[dict[str, Any]]:
    """What learns, for the optimiser: the head, and apart from it an encoder at its own rate.

    ``share`` is a group's part of the head's learning rate.
    """
    groups: list[dict[str, Any]] = [{"params": head.own_parameters(), "lr": o.lr, "share": 1.0}]
    if head.encoder is not None:
        share = o.encoder_lr / o.lr
        groups.append({"params": learning(head.encoder), "lr": o.encoder_lr, "share": share})
    return groups


def learning(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that are not fixed."""
    return [p for p in module.parameters() if p.requires_grad]


class Trainer:
    """Trains a task's head in a run folder."""

    def __init__(
        self, task: Task, config: RunConfig, run: RunFolder, ranks: Ranks | None = None
    ) -> None:
        self.task, self.config, self.run = task, config, run
        self.ranks = ranks or Ranks()
        self.o = config.optimisation
        self.device = task.precision.device
        self.progress = Progress()
        self.parameters = learning(task.head)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(task.head, self.o), weight_decay=self.o.weight_decay, fused=True
        )
        # float16 has no room for small gradients; bfloat16 does.
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=task.precision.amp is torch.float16
        )
        self.average: WeightAverage | None = None
        if self.o.averaging:
            named = {n: p for n, p in task.head.named_parameters() if p.requires_grad}
            self.average = WeightAverage(named, self.o.averaging)
        self.loss = loss_of(task, self.ranks)
        if not self.ranks.is_first:
            torch.manual_seed(self._dropout_seed())
        self.total_updates = self.o.epochs * updates_of_epoch(self.o, task.train.n_items)

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
        cuts = task.train.cuts(order, o.batch_size)
        watcher.start_epoch(p.epoch, len(cuts), p.batches)
        task.head.train()
        before, started = p.train_seconds, time.perf_counter()
        before_sum = p.loss_sum if self.ranks.is_first else 0.0
        loss_sum = torch.tensor(before_sum, device=self.device, dtype=torch.float64)
        share = self.ranks.share
        batches = task.train.batches(order, o.batch_size, self.device, p.batches, share=share)
        waited = Waited(batches)
        for batch in waited:
            group = p.batches // o.accumulate * o.accumulate
            in_group = min(o.accumulate, len(cuts) - group)
            loss_sum += self._backward(batch, in_group)
            p.batches, p.items = p.batches + 1, p.items + batch.part.n_samples
            update = p.batches - group == in_group
            if update:
                self._update()
            show = p.batches % 20 == 0 or p.batches == len(cuts)
            watcher.step(self._running_loss(loss_sum) if show else None)
            if update and self.ranks.any(bool(stop)):
                break
        self._running_loss(loss_sum)
        p.train_seconds = before + time.perf_counter() - started
        p.wait_seconds += waited.seconds
        return p.batches == len(cuts)

    def _backward(self, batch: Batch, in_group: int) -> Tensor:
        """Add the batch's gradients; returns its summed loss, still on the device."""
        last = self.progress.batches % self.o.accumulate + 1 == in_group
        with self.task.precision.autocast():
            loss = self.loss(batch, last)
        # Gradients of several processes are averaged, but their losses are parts of one.
        torch.autograd.backward(self.scaler.scale(loss / (in_group / self.ranks.n)))
        return loss.detach().double() * batch.part.n_samples

    def _update(self) -> None:
        p, o = self.progress, self.o
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(p.updates, self.total_updates, o) * group["share"]
        if o.clip:
            self.scaler.unscale_(self.optimizer)
            self._clip_gradients()
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        # An update that float16 overflowed is left out, and the schedule does not move.
        p.updates += self.scaler.get_scale() >= scale
        if self.average is not None:
            self.average.update(p.updates)

    def _clip_gradients(self) -> None:
        norm = get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        # Most gradients are short enough, and a sweep over all of them can be spared; a GPU goes on
        # without waiting for the answer.
        if self.device.type != "cpu" or not norm <= self.o.clip:
            clip_grads_with_norm_(self.parameters, self.o.clip, norm)

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
        return nullcontext() if self.average is None else self.average.applied()

    def _evaluate(self) -> dict[str, Any]:
        p, task = self.progress, self.task
        started = time.perf_counter()
        task.head.eval()
        scores = self.ranks.first_does(task.evaluate)
        metrics: dict[str, Any] = {
            "epoch": p.epoch,
            "train_loss": p.loss_sum / max(1, p.items),
            **scores,
            "train_seconds": p.train_seconds,
            "val_seconds": time.perf_counter() - started,
            "wait_seconds": p.wait_seconds,
            "items_per_second": p.items / p.train_seconds,
            "lr": self.optimizer.param_groups[0]["lr"],
            "peak_memory_bytes": peak_memory_bytes(self.device),
        }
        if self._is_best(metrics):
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
        about = {"epoch": p.epoch, "score": p.best_score, "digests": digests}
        write_tensors(self.run.best, dict(self.task.head.state_dict()), about)
        self.task.write_predictions(self.run.predictions)

    def save_last(self) -> None:
        """Write all that resuming needs."""
        tensors = {f"head.{k}": v for k, v in self.task.head.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average.{k}": v for k, v in self.average.tensors.items()}
        tensors |= flatten_optimizer(self.optimizer)
        for name, state in random_state(self.device).items():
            every = self.ranks.gather(state)
            tensors |= {random_name(name, rank): part for rank, part in enumerate(every)}
        about = {
            "progress": asdict(self.progress),
            "scaler": self.scaler.state_dict(),
            "digests": self.config.digests,
        }
        self.ranks.first_does(lambda: write_tensors(self.run.last, tensors, about))

    def resume(self, recorded: dict[str, str], accept_changed_data: bool = False) -> list[str]:
        """Go back to the state of :meth:`save_last`; the same machine goes on to the same bits.

        That takes as many processes as before, each of which draws its own dropout. Raises
        ``InputError`` if the data are not those of the ``recorded`` digests, or of those in the
        checkpoint, unless that is accepted; an epoch that was begun on other data is then begun
        again. Returns what to say.
        """
        recorded = {**recorded, **self.ranks.together(self._read_last)}
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
            # Scores on other data say nothing to those that follow.
            self.progress.best_epoch = self.progress.epoch - 1
            self.progress.best_score = -math.inf
            self.progress.selection = self.progress.best_selection = None
            self.progress.best_loss = math.inf

    def _read_last(self) -> dict[str, str]:
        """Restore the last state; returns the digests of the data that it was trained on."""
        tensors, about = read_tensors(self.run.last)
        weights = {k[len("head.") :]: v for k, v in tensors.items() if k.startswith("head.")}
        load_weights(self.task.head, weights, self.run.last)
        try:
            restore_optimizer(self.optimizer, tensors)
            if self.average is not None:
                self.average.load({k.removeprefix("average."): v for k, v in tensors.items()})
            if about["scaler"]:  # none was needed where the run began
                self.scaler.load_state_dict(about["scaler"])
            self.progress = convert(about["progress"], Progress)
            restore_random_state(tensors, self.device, self.ranks.share.rank, self._dropout_seed())
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise damaged(self.run.last, error) from error
        return convert(about.get("digests", {}), dict[str, str])

    def _dropout_seed(self) -> int:
        """Where a process begins to draw that has no state to go on from: each somewhere else."""
        return hash((self.config.seed, self.progress.updates, self.ranks.share.rank)) % 2**63

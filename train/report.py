"""The last lines of a run: its best epoch, and what seeing the images is worth to the head."""

import math
from shlex import quote

from ..datasets.catalog import open_dataset
from .checkpoint import load_weights, read_tensors
from .control import find_control, gain_over
from .progress import print_now
from .run_folder import RunFolder, read_metrics
from .trainer import Trainer

# Of a task: the control in words, and how its metric is shown.
CONTROLS = {
    "vqa": ("question-only under the same recipe", "{:.2f} %"),
    "caption": ("CIDEr-D of the one caption that fits all images best", "{:.4f}"),
}


def report(trainer: Trainer, run: RunFolder, control: bool) -> None:
    """Say and write down the best score, the score with images exchanged and, if asked, the gain.

    The gain is the difference from a control that does not see the images.
    """
    task, p = trainer.task, trainer.progress
    load_weights(task.head, read_tensors(run.best)[0], run.best)
    if not task.validates:
        report_unvalidated(trainer, run)
        return
    shuffled = task.shuffled_metrics()
    run.write_summary(
        best_epoch=p.best_epoch,
        best_score=p.best_score,
        shuffled_score=shuffled[task.score_name],
        parameters=sum(p.numel() for p in task.head.parameters()),
    )
    if note := doubt(trainer):
        print_now(f"note       {note}")
    best, without = (task.score_format.format(x) for x in (p.best_score, shuffled[task.score_name]))
    print_now(f"best       {best} in epoch {p.best_epoch}")
    if "val_cider" in shuffled:
        run.write_summary(shuffled_cider=shuffled["val_cider"])
        without += f", CIDEr-D {shuffled['val_cider']:.4f},"
    print_now(f"images     {without} with the validation images exchanged for one another")
    if trainer.config.scst is not None:
        report_scoring(run)
    if control and task.val.features is not None:
        report_gain(trainer, run)
    print_now(f"wrote      {run.best}, {run.predictions}")
    print_now(f"score it   score {quote(str(run.predictions))}")


def report_scoring(run: RunFolder) -> None:
    """Say and write down what share of training the scoring of drawn captions took."""
    epochs, _ = read_metrics(run.metrics)
    share = sum(e["reward_seconds"] for e in epochs) / sum(e["train_seconds"] for e in epochs)
    run.write_summary(scoring_share=share)
    first, last = epochs[0]["train_reward"], epochs[-1]["train_reward"]
    print_now(
        f"reward     {first:.4f} in the first epoch, {last:.4f} in the last; scoring took "
        f"{100 * share:.1f} % of training"
    )


def report_unvalidated(trainer: Trainer, run: RunFolder) -> None:
    """Say and write down what there is of a run without validation."""
    p, folder = trainer.progress, quote(str(run.path))
    n_parameters = sum(p.numel() for p in trainer.task.head.parameters())
    run.write_summary(best_epoch=p.best_epoch, best_score=None, parameters=n_parameters)
    print_now(f"kept       the last epoch, {p.best_epoch}: there was nothing to validate on")
    print_now(f"wrote      {run.best}")
    if "test" in open_dataset(trainer.config.data).splits():
        print_now(f"predict    frostgrid predict {folder} --split test")


def doubt(trainer: Trainer) -> str:
    """Why the run may have ended before its best epoch; "" if nothing speaks for that."""
    p, o = trainer.progress, trainer.o
    if p.best_epoch == o.epochs:
        return "the best epoch is the last: more --epochs may do better"
    left = o.epochs - (p.epoch - 1)
    if left > 0:
        return (
            f"stopped {p.epoch - 1 - p.best_epoch} epochs after the best and {left} before the "
            "last, when the learning rate was still high; --patience 0 trains all epochs"
        )
    return ""


def report_gain(trainer: Trainer, run: RunFolder) -> None:
    """Say and write down the gain over the control, with its interval."""
    config = trainer.config
    try:
        control = find_control(config, trainer.task.precision, print_now)
    except OSError as error:  # a cache folder that is full, or may not be written
        print_now(f"control    left out: {error}")
        return
    gain = gain_over(control, run, config)
    has_interval = math.isfinite(gain.interval.low)  # one image alone has none
    run.write_summary(
        control_score=gain.control,
        gain_over_blind=gain.difference,
        gain_interval=list(gain.interval) if has_interval else None,
        control_seconds=control.seconds,
    )
    what, shape = CONTROLS[config.task]
    signed = shape.replace(":", ":+").replace("%", "points")  # of two percentages
    low, high = (signed.format(value) for value in gain.interval)
    interval = f", 95 % interval {low} to {high}" if has_interval else ""
    score = shape.format(gain.control)
    print_now(f"blind      {score}, {what} (took {control.seconds:.0f} s, once)")
    print_now(f"gain       {signed.format(gain.difference)} over blind{interval}")

"""Training runs as their folders record them."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

from ..errors import InputError
from ..evaluate.table import DASH
from ..models.config import CaptionHeadConfig, VqaHeadConfig
from ..train.caption_task import CaptionTask
from ..train.config import RunConfig
from ..train.run_folder import RunFolder, read_json
from ..train.vqa_task import VqaTask

SCORES = {"vqa": VqaTask.score_name, "caption": CaptionTask.score_name}
SHA256 = 64  # letters of a hash, of which a few are enough to tell two apart
NEEDED = ("epoch", "train_loss", "val_loss", "train_seconds", "val_seconds", "items_per_second")


@dataclass(frozen=True)
class RunRecord:
    """A run: its config, a line an epoch, and its summary (empty if training never finished).

    ``name`` tells it from the others that it was read with.
    """

    path: Path
    name: str
    config: RunConfig
    epochs: list[dict[str, Any]]
    summary: dict[str, Any]

    @property
    def score_name(self) -> str:
        """The metric that a run is known by."""
        return SCORES[self.config.task]

    @property
    def best(self) -> dict[str, Any]:
        """The line of the epoch that was chosen: the first of the best score, or what picks it."""
        return max(self.epochs, key=lambda line: line.get("val_choice", line[self.score_name]))

    def column(self, metric: str) -> list[float]:
        """A metric, epoch by epoch."""
        return [line[metric] for line in self.epochs]

    def typical(self, metric: str) -> float:
        """A metric's median over the epochs."""
        return float(median(self.column(metric)))

    @property
    def parameters(self) -> int | None:
        """How many numbers the head learns."""
        return self.summary.get("parameters")

    @property
    def image_gain(self) -> float | None:
        """Best score less the score with the validation images exchanged for one another."""
        if "shuffled_score" not in self.summary:
            return None
        return float(self.summary["best_score"] - self.summary["shuffled_score"])

    @property
    def peak_memory_bytes(self) -> int | None:
        """The most memory that any epoch saw."""
        seen = [line["peak_memory_bytes"] for line in self.epochs if "peak_memory_bytes" in line]
        return max(seen) if seen else None


def read_records(paths: list[Path]) -> list[RunRecord]:
    """Read runs that are to be compared.

    Raises ``InputError`` for a folder that is no run, has no finished epoch or is given twice, and
    for runs of different tasks.
    """
    for path, count in Counter(path.resolve() for path in paths).items():
        if count > 1:
            raise InputError(f"{path}: given {count} times; name each run once.")
    names = name_apart(paths)
    records = [read_record(path, name) for path, name in zip(paths, names, strict=True)]
    first = records[0]
    for record in records[1:]:
        if record.config.task != first.config.task:
            raise InputError(
                f"{first.path} and {record.path} are of different tasks ({first.config.task} and "
                f"{record.config.task}), whose scores say nothing to each other; compare runs of "
                "one task."
            )
    return records


def name_apart(paths: list[Path]) -> list[str]:
    """A name a run: as many of its last folders as it takes to tell all apart."""
    parts = [path.resolve().parts for path in paths]
    for n in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-n:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def read_record(path: Path, name: str) -> RunRecord:
    """Read one run folder; raises ``InputError`` if it is none, or has no finished epoch."""
    run = RunFolder(path)
    config = run.read_config()
    if config.task not in SCORES:
        raise InputError(f"{run.config}: its task is {config.task!r}; expected vqa or caption.")
    epochs = read_epochs(run.metrics, SCORES[config.task])
    summary = read_json(run.summary, "train the run again") if run.summary.exists() else {}
    if not isinstance(summary, dict):
        raise InputError(f"{run.summary}: not the summary of a run; train the run again.")
    return RunRecord(path, name, config, epochs, summary)


def read_epochs(path: Path, score: str) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl``; raises ``InputError`` naming the line that does not fit."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    epochs: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            epoch = json.loads(line)
            wrong = [n for n in (*NEEDED, score) if not isinstance(epoch[n], int | float)]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: line {number} is not the metrics of an epoch ({error}); go on with the "
                "run by --resume, which writes it again."
            ) from error
        if wrong:
            raise InputError(
                f"{path}: line {number}: {wrong[0]} is {epoch[wrong[0]]!r}, no number."
            )
        epochs.append(epoch)
    if not epochs:
        raise InputError(f"{path}: no epoch is finished yet; compare the run when one is.")
    return epochs


def settings_of(config: RunConfig) -> dict[str, Any]:
    """All that a run was told, defaults filled in: name -> value."""
    shape = VqaHeadConfig if config.task == "vqa" else CaptionHeadConfig
    head = {f.name: f.default for f in fields(shape) if isinstance(f.default, int | float | str)}
    settings: dict[str, Any] = {
        name: getattr(config, name) for name in ("head", "data", "split", "recipe", "seed", "amp")
    }
    settings |= {"kernels": config.kernels, "fine-tuned": config.finetune}
    settings |= asdict(config.optimisation)
    settings |= {f"head: {name}": value for name, value in (head | config.head_settings).items()}
    settings |= {f"data: {name}": value for name, value in config.data_settings.items()}
    settings |= {f"features: {name}": value for name, value in config.feature_identity.items()}
    return settings


def settings_that_differ(records: list[RunRecord]) -> dict[str, list[str]]:
    """Setting -> its value in each run, of those that are not the same in all runs that have it."""
    settings = [settings_of(record.config) for record in records]
    names = list(dict.fromkeys(name for each in settings for name in each))
    rows = {name: [show_value(each.get(name, DASH)) for each in settings] for name in names}
    return {name: values for name, values in rows.items() if len({*values} - {DASH}) > 1}


def show_value(value: Any) -> str:
    """A setting in few letters."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    if len(text) == SHA256:
        return f"{text[:12]}…"
    return text if len(text) <= 40 else f"{text[:18]}…{text[-18:]}"

"""Training runs as recorded in their folders."""

import math
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from ..errors import InputError
from ..evaluate.table import DASH
from ..models.config import CaptionHeadConfig, VqaHeadConfig
from ..predict.trained import distinct_names
from ..train.run_folder import RunFolder, read_json, read_metrics
from ..train.settings.config import RunConfig
from ..train.tasks.captions import CaptionTask
from ..train.tasks.vqa import VqaTask
from ..train.trainer import LEAST_GAIN

SCORES = {"vqa": VqaTask.score_name, "caption": CaptionTask.score_name}
SHA256 = 64  # letters of a hash, which a table abbreviates
REQUIRED = ("epoch", "train_loss", "val_loss", "train_seconds", "val_seconds", "items_per_second")
OPTIONAL = (
    *("peak_memory_bytes", "val_selection", "val_coverage", "val_penalty", "val_cider"),
    *(f"{score}_{end}" for score in (*SCORES.values(), "val_cider") for end in ("low", "high")),
)


@dataclass(frozen=True)
class RunSummary:
    """The values of ``summary.json`` that are reported; None until the run is finished."""

    best_score: float | None = None
    shuffled_score: float | None = None
    parameters: int | None = None
    gain_over_blind: float | None = None
    gain_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class RunRecord:
    """A run: its config, its metrics of each epoch, and its summary.

    ``name`` is distinct among the runs that are read together.
    """

    path: Path
    name: str
    config: RunConfig
    epochs: list[dict[str, Any]]
    summary: RunSummary
    broken_lines: list[int] = field(default_factory=list)  # of metrics.jsonl, left out

    @property
    def score_name(self) -> str:
        """The task's score."""
        return SCORES[self.config.task]

    @property
    def best(self) -> dict[str, Any]:
        """The metrics of the best epoch, as training selected it."""
        best = self.epochs[0]
        for line in self.epochs[1:]:
            if self._is_better(line, best):
                best = line
        return best

    def _is_better(self, line: dict[str, Any], best: dict[str, Any]) -> bool:
        if "val_selection" not in line:  # VQA of an earlier version
            return bool(line[self.score_name] > best[self.score_name])
        gain = line["val_selection"] - best.get("val_selection", -math.inf)
        equal = abs(gain) < LEAST_GAIN and line["val_loss"] < best["val_loss"]
        return bool(gain >= LEAST_GAIN or equal)

    def column(self, metric: str) -> list[float]:
        """A metric of all epochs."""
        return [line[metric] for line in self.epochs]

    def typical(self, metric: str) -> float:
        """A metric's median over the epochs."""
        return float(median(self.column(metric)))

    @property
    def has_low_val_loss(self) -> bool:
        """Whether the validation loss is lower than on the training loss's scale.

        Earlier versions counted questions of which no answer is known, as 0, and had no record of
        the penalty on the attention.
        """
        added = "val_coverage"
        if self.config.task == "caption":
            added = "val_penalty" if self.config.optimisation.attention_penalty else "val_loss"
        return any(added not in line for line in self.epochs)

    @property
    def parameters(self) -> int | None:
        """The number of trained parameters."""
        return self.summary.parameters

    @property
    def image_gain(self) -> float | None:
        """Best score less the score with the validation images exchanged."""
        best, shuffled = self.summary.best_score, self.summary.shuffled_score
        return None if best is None or shuffled is None else best - shuffled

    @property
    def peak_memory_bytes(self) -> int | None:
        """The peak memory over all epochs."""
        peaks = [line["peak_memory_bytes"] for line in self.epochs if "peak_memory_bytes" in line]
        return max(peaks) if peaks else None


def read_records(paths: list[Path]) -> list[RunRecord]:
    """Read runs that are to be compared.

    Raises ``InputError`` for a folder that is no run, has no finished epoch or is named twice, and
    for runs of different tasks.
    """
    for path, count in Counter(path.resolve() for path in paths).items():
        if count > 1:
            raise InputError(f"{path}: given {count} times; name each run once.")
    names = distinct_names(paths)
    records = [read_record(path, name) for path, name in zip(paths, names, strict=True)]
    first = records[0]
    for record in records[1:]:
        if record.config.task != first.config.task:
            raise InputError(
                f"{first.path} and {record.path} are of different tasks ({first.config.task} and "
                f"{record.config.task}), whose scores cannot be compared; name runs of one task."
            )
    return records


def read_record(path: Path, name: str) -> RunRecord:
    """Read one run folder; raises ``InputError`` if it is not one, or has no finished epoch."""
    run = RunFolder(path)
    config = run.read_config()
    if config.task not in SCORES:
        raise InputError(f"{run.config}: its task is {config.task!r}; expected vqa or caption.")
    if not config.split:
        raise InputError(
            f"{path}: was trained on train and val, without validation, so it has no score to "
            "compare; score what `frostgrid predict` makes of another split."
        )
    epochs, broken = read_epochs(run.metrics, SCORES[config.task])
    return RunRecord(path, name, config, epochs, read_summary(run.summary), broken)


def read_summary(path: Path) -> RunSummary:
    """Read ``summary.json``, if the run has one; raises ``InputError`` if it is none."""
    if not path.exists():
        return RunSummary()
    remedy = "put the right file back, or train the run again"
    try:
        return msgspec.convert(read_json(path, remedy), RunSummary)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: not the summary of a run: {error}; {remedy}.") from error


def read_epochs(path: Path, score: str) -> tuple[list[dict[str, Any]], list[int]]:
    """The epochs of ``metrics.jsonl``, and the numbers of lines that were not written whole.

    Raises ``InputError`` naming the epoch that does not fit.
    """
    epochs, broken = read_metrics(path) if path.exists() else ([], [])
    if not epochs:
        raise InputError(f"{path}: no epoch is finished yet; compare the run when one is.")
    for k, epoch in enumerate(epochs):
        check_order(path, epoch["epoch"], epochs[k - 1]["epoch"] if k else 0)
        for name in (*REQUIRED, score):
            if not is_number(epoch.get(name)):
                wrong = f"{name} is {epoch[name]!r}, no number" if name in epoch else f"no {name}"
                raise InputError(f"{path}: epoch {epoch['epoch']}: {wrong}; train the run again.")
        for name in OPTIONAL:
            if not is_number(epoch.get(name, 0)):
                raise InputError(f"{path}: epoch {epoch['epoch']}: {name} is no number.")
    return epochs, broken


def check_order(path: Path, epoch: int, last: int) -> None:
    """Raise ``InputError`` unless an epoch comes after the last one."""
    if epoch <= last:
        raise InputError(
            f"{path}: epoch {epoch} comes after epoch {last}: two trainings may have written to "
            "this folder at once; train the run again in another."
        )


def name_data(config: RunConfig) -> str:
    """The data set's name, or its folder's."""
    return Path(config.data).name or config.data


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def settings_of(config: RunConfig) -> dict[str, Any]:
    """All settings of a run, defaults included: name -> value."""
    shape = VqaHeadConfig if config.task == "vqa" else CaptionHeadConfig
    head = {f.name: f.default for f in fields(shape) if isinstance(f.default, int | float | str)}
    settings: dict[str, Any] = {
        name: getattr(config, name) for name in ("head", "data", "split", "recipe", "seed", "amp")
    }
    settings |= {"kernels": config.kernels, "fine-tuned": config.finetune}
    settings |= {
        "self-critical, from": config.scst and config.scst.init,
        "word vectors": config.word_vectors and config.word_vectors.file,
    }
    names = ("train_split", "hold_out", "hold_out_seed", "missing", "limit")
    settings |= {name.replace("_", " "): getattr(config, name) for name in names}
    settings |= asdict(config.optimisation)
    settings |= {f"head: {name}": value for name, value in (head | config.head_settings).items()}
    settings |= {f"data: {name}": value for name, value in config.data_settings.items()}
    settings |= {f"features: {name}": value for name, value in config.feature_identity.items()}
    return settings


def settings_that_differ(records: list[RunRecord]) -> dict[str, list[str]]:
    """Setting -> its value in each run, for those that differ among the runs that have them."""
    settings = [settings_of(record.config) for record in records]
    names = list(dict.fromkeys(name for each in settings for name in each))
    rows = {name: [show_value(each.get(name, DASH)) for each in settings] for name in names}
    return {name: values for name, values in rows.items() if len({*values} - {DASH}) > 1}


def show_value(value: Any) -> str:
    """A setting's value, abbreviated."""
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

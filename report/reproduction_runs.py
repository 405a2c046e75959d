"""The runs that reproduce a report: planning them, and training those that are missing."""

from dataclasses import dataclass
from pathlib import Path

from ..console import StopRequest
from ..datasets.catalog import address_of, open_dataset
from ..errors import InputError
from ..featurize.file.reader import open_features
from ..featurize.jobs import default_path
from ..models.registry import HEADS
from ..train.run_folder import RunFolder
from .child_process import Echo, run_child
from .published_reports import ACCUMULATION, AMP, MEASURES, STOPPING, PublishedReport

SPLITS = ("train", "val")


@dataclass(frozen=True)
class Reproduction:
    """How a report is reproduced.

    Attributes:
        heads: those to be trained.
        data: a data set's name or folder.
        features: feature files of both splits.
        epochs: of each run; None for each recipe's own.
        out: the folder of all runs.
        study: whether to train the runs of the ablation too.
    """

    report: PublishedReport
    heads: tuple[str, ...]
    data: str
    features: tuple[Path, ...]
    epochs: int | None
    seed: int
    device: str
    out: Path
    study: bool

    def comparison(self) -> list[Path]:
        """The run folders that are compared: ``report/HEAD`` and ``default/HEAD``."""
        return [self.out / recipe / head for recipe in ("report", "default") for head in self.heads]

    def studied(self) -> dict[frozenset[str], Path]:
        """The measures of a run of the ablation -> its folder; empty without an ablation.

        The run with the recipe's own measures is that of the comparison. The others change one
        measure, have all of them, or have none.
        """
        if not self.study or self.report.studied not in self.heads:
            return {}
        base = self.report.measures
        chosen = [base, *(base ^ {measure} for measure in MEASURES), frozenset(MEASURES)]
        chosen.append(frozenset())
        paths = {each: self.out / "measures" / name_measures(each) for each in chosen}
        return paths | {base: self.out / "report" / self.report.studied}


@dataclass(frozen=True)
class PlannedRun:
    """A run to be trained: its folder, head, recipe and further options of ``train-head``."""

    path: Path
    head: str
    recipe: str
    options: tuple[str, ...] = ()


def name_measures(measures: frozenset[str]) -> str:
    """The folder's name of a run with these measures."""
    names = [measure.replace(" ", "-") for measure in MEASURES if measure in measures]
    return "+".join(names) or "none"


def measure_options(report: PublishedReport, measures: frozenset[str]) -> tuple[str, ...]:
    """The options of ``train-head`` for these measures and not the others."""
    steps = 2 if ACCUMULATION in measures else 1
    patience = report.patience if STOPPING in measures else 0
    return (
        *("--amp", "auto" if AMP in measures else "off"),
        *("--batch-size", str(report.batch_size // steps), "--accumulate", str(steps)),
        *("--patience", str(patience)),
    )


def plan_runs(reproduction: Reproduction) -> list[PlannedRun]:
    """All runs, those of the comparison first."""
    runs = [PlannedRun(path, path.name, path.parent.name) for path in reproduction.comparison()]
    compared = {run.path for run in runs}
    for measures, path in reproduction.studied().items():
        if path not in compared:
            options = measure_options(reproduction.report, measures)
            runs.append(PlannedRun(path, reproduction.report.studied, "report", options))
    return runs


def check_references(report: PublishedReport, data: str) -> None:
    """Raise ``InputError`` for data without the report's questions or captions, before any work."""
    dataset = open_dataset(data)
    for split in SPLITS:
        if report.task == "caption":
            if not dataset.has_captions(split):
                dataset.captions_path(split)  # raises an error that names the files
            continue
        if not dataset.has_vqa(split):
            dataset.questions_path(split)
        if not dataset.has_annotations(split):
            dataset.annotations_path(split)


def default_features(data: str, backbone: str) -> dict[str, Path]:
    """Split -> the default output of ``featurize``."""
    name = open_dataset(data).name
    return {split: default_path(name, split, backbone) for split in SPLITS}


def extract_missing(
    data: str, backbone: str, device: str, stop: StopRequest, echo: Echo
) -> tuple[Path, ...]:
    """The default feature files, extracted first where they are missing or unfinished."""
    files = default_features(data, backbone)
    for split, file in files.items():
        if file.exists() and open_features(file).is_complete:
            echo(f"features   {file}")
            continue
        echo(f"features   {file} is missing or unfinished: it is extracted first")
        arguments = ["featurize", "--data", data, "--split", split, "--backbone", backbone]
        run_child([*arguments, "--device", device, "--out", str(file)], stop, echo)
    return tuple(files.values())


def train_missing(reproduction: Reproduction, stop: StopRequest, echo: Echo) -> None:
    """Train every planned run that is not finished, each in a child process.

    A child process measures the peak memory of one run alone. Raises ``InputError`` for a folder
    that holds a run of other data, features, seed or epochs, before anything is trained.
    """
    runs = plan_runs(reproduction)
    for run in runs:
        check_same(run, reproduction)
    for number, run in enumerate(runs, 1):
        folder = RunFolder(run.path)
        head = f"\n[{number}/{len(runs)}] {run.path}"
        if folder.summary.exists():
            echo(f"{head}: finished before")
        elif folder.last.exists():
            echo(f"{head}: goes on")
            arguments = ["train-head", "--resume", str(run.path), "--device", reproduction.device]
            arguments.append("--no-control")  # question-only is one of the runs
            run_child(arguments, stop, echo)
        else:
            echo(head)
            # A run that was killed in its first epoch left a config but no checkpoint.
            folder.config.unlink(missing_ok=True)
            folder.metrics.unlink(missing_ok=True)
            run_child(train_arguments(run, reproduction), stop, echo)


def train_arguments(run: PlannedRun, reproduction: Reproduction) -> list[str]:
    """The command that trains a run."""
    return [
        *("train-head", run.head, "--data", reproduction.data, "--recipe", run.recipe),
        *(part for file in features_of(run, reproduction) for part in ("--features", str(file))),
        *(("--epochs", str(reproduction.epochs)) if reproduction.epochs else ()),
        *("--seed", str(reproduction.seed), "--device", reproduction.device, "--no-control"),
        *("--out", str(run.path), *run.options),
    ]


def features_of(run: PlannedRun, reproduction: Reproduction) -> tuple[Path, ...]:
    """The feature files of a run; empty for a head that reads none."""
    return () if HEADS[run.head].features == "none" else reproduction.features


def check_same(run: PlannedRun, reproduction: Reproduction) -> None:
    """Raise ``InputError`` if the folder holds a run with other settings."""
    folder = RunFolder(run.path)
    if not folder.config.exists():
        return
    config = folder.read_config()
    requested = {
        "--data": (config.data, address_of(reproduction.data)),
        "--features": (
            config.features,
            [str(file.resolve()) for file in features_of(run, reproduction)],
        ),
        "--seed": (config.seed, reproduction.seed),
    }
    if reproduction.epochs:
        requested["--epochs"] = (config.optimisation.epochs, reproduction.epochs)
    for option, (before, now) in requested.items():
        if before != now:
            raise InputError(
                f"{run.path}: holds a run with {option} {show(before)}, now {show(now)} is asked; "
                "choose another --out, or repeat the earlier settings."
            )


def show(value: object) -> str:
    """A setting as one would type it."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)

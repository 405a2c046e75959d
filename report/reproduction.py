"""Which runs reproduce a report, and training those that are not there yet."""

from dataclasses import dataclass
from pathlib import Path

from ..console import StopRequest
from ..datasets.catalog import address_of, open_dataset
from ..errors import InputError
from ..featurize.file.reader import open_features
from ..featurize.jobs import default_path
from ..models.registry import HEADS
from ..train.recipes import RECIPES
from ..train.run_folder import RunFolder
from .children import Say, run_child
from .published import ACCUMULATION, AMP, MEASURES, STOPPING, Report

SPLITS = ("train", "val")


@dataclass(frozen=True)
class Wanted:
    """What to reproduce a report with.

    Attributes:
        heads: those to be trained.
        data: a data set's name or folder.
        features: feature files of both splits.
        epochs: of each run; None for each recipe's own.
        out: the folder of all runs.
        study: whether to study the measures too.
    """

    report: Report
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
        """The measures that a run takes -> its folder; empty if none are studied.

        With the recipe's own measures it is the run of the comparison. Beside it stand the runs in
        which one measure is changed, that with all measures and that with none.
        """
        if not self.study or self.report.studied not in self.heads:
            return {}
        base = self.report.measures
        chosen = [base, *(base ^ {measure} for measure in MEASURES), frozenset(MEASURES)]
        chosen.append(frozenset())
        paths = {each: self.out / "measures" / name_measures(each) for each in chosen}
        return paths | {base: self.out / "report" / self.report.studied}


@dataclass(frozen=True)
class Planned:
    """A run to be trained: its folder, its head and recipe, and more options of ``train-head``."""

    path: Path
    head: str
    recipe: str
    options: tuple[str, ...] = ()


def name_measures(measures: frozenset[str]) -> str:
    """A folder's name for a run that takes these measures."""
    taken = [measure.replace(" ", "-") for measure in MEASURES if measure in measures]
    return "+".join(taken) or "none"


def measure_options(report: Report, measures: frozenset[str]) -> tuple[str, ...]:
    """The options by which ``train-head`` takes these measures, and not the others."""
    steps = 2 if ACCUMULATION in measures else 1
    patience = report.patience if STOPPING in measures else 0
    return (
        *("--amp", "auto" if AMP in measures else "off"),
        *("--batch-size", str(report.batch // steps), "--accumulate", str(steps)),
        *("--patience", str(patience)),
    )


def plan_runs(wanted: Wanted) -> list[Planned]:
    """All runs, those of the comparison first."""
    runs = [Planned(path, path.name, path.parent.name) for path in wanted.comparison()]
    compared = {run.path for run in runs}
    for measures, path in wanted.studied().items():
        if path not in compared:
            options = measure_options(wanted.report, measures)
            runs.append(Planned(path, wanted.report.studied, "report", options))
    return runs


def check_references(report: Report, data: str) -> None:
    """Raise ``InputError`` for data without the report's questions or captions, before any work."""
    dataset = open_dataset(data)
    for split in SPLITS:
        if report.task == "caption":
            if not dataset.has_captions(split):
                dataset.captions_path(split)  # says which files it looked for
            continue
        if not dataset.has_vqa(split):
            dataset.questions_path(split)
        if not dataset.has_annotations(split):
            dataset.annotations_path(split)


def default_features(data: str, backbone: str) -> dict[str, Path]:
    """Split -> where ``featurize`` puts its features."""
    name = open_dataset(data).name
    return {split: default_path(name, split, backbone) for split in SPLITS}


def extract_missing(
    data: str, backbone: str, device: str, stop: StopRequest, say: Say
) -> tuple[Path, ...]:
    """The default feature files, extracted first where they are missing or unfinished."""
    files = default_features(data, backbone)
    for split, file in files.items():
        if file.exists() and open_features(file).is_complete:
            say(f"features   {file}")
            continue
        say(f"features   {file} is missing or unfinished: it is extracted first")
        arguments = ["featurize", "--data", data, "--split", split, "--backbone", backbone]
        run_child([*arguments, "--device", device, "--out", str(file)], stop, say)
    return tuple(files.values())


def train_missing(wanted: Wanted, stop: StopRequest, say: Say) -> None:
    """Train every planned run that is not finished, each in a process of its own.

    A process of its own gives each run a peak memory of its own. Raises ``InputError`` for a folder
    that holds a run of other data, features, seed or epochs, before anything is trained.
    """
    runs = plan_runs(wanted)
    for run in runs:
        check_same(run, wanted)
    for number, run in enumerate(runs, 1):
        folder = RunFolder(run.path)
        head = f"\n[{number}/{len(runs)}] {run.path}"
        if folder.summary.exists():
            say(f"{head}: finished before")
        elif folder.last.exists():
            say(f"{head}: goes on")
            arguments = ["train-head", "--resume", str(run.path), "--device", wanted.device]
            run_child(arguments, stop, say)
        else:
            say(head)
            # A run that was killed in its first epoch left a config and nothing to go on from.
            folder.config.unlink(missing_ok=True)
            folder.metrics.unlink(missing_ok=True)
            run_child(train_arguments(run, wanted), stop, say)


def train_arguments(run: Planned, wanted: Wanted) -> list[str]:
    """The command that trains a run."""
    return [
        *("train-head", run.head, "--data", wanted.data, "--recipe", run.recipe),
        *(part for file in features_of(run, wanted) for part in ("--features", str(file))),
        *("--epochs", str(wanted_epochs(run, wanted)), "--seed", str(wanted.seed)),
        *("--device", wanted.device, "--out", str(run.path), *run.options),
    ]


def features_of(run: Planned, wanted: Wanted) -> tuple[Path, ...]:
    """The feature files that a run is given; none to a head that reads none."""
    return () if HEADS[run.head].features == "none" else wanted.features


def wanted_epochs(run: Planned, wanted: Wanted) -> int:
    """How many epochs a run has at most."""
    return wanted.epochs or RECIPES[run.recipe][run.head].optimisation.epochs


def check_same(run: Planned, wanted: Wanted) -> None:
    """Raise ``InputError`` if the folder holds a run that was told otherwise."""
    folder = RunFolder(run.path)
    if not folder.config.exists():
        return
    config = folder.read_config()
    asked = {
        "--data": (config.data, address_of(wanted.data)),
        "--features": (config.features, [str(file.resolve()) for file in features_of(run, wanted)]),
        "--seed": (config.seed, wanted.seed),
        "--epochs": (config.optimisation.epochs, wanted_epochs(run, wanted)),
    }
    for option, (before, now) in asked.items():
        if before != now:
            raise InputError(
                f"{run.path}: holds a run with {option} {show(before)}, now {show(now)} is asked "
                "for; choose another --out, or ask for the same again."
            )


def show(value: object) -> str:
    """A setting as one would type it."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)

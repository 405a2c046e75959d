"""What the blind head under the same recipe reaches: the score that seeing must beat."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from .. import __version__
from ..console import StopRequest
from ..datasets.cache import cache_folder, hash_files
from ..datasets.catalog import open_dataset
from ..errors import InputError
from ..evaluate.bootstrap import Interval
from ..evaluate.reference_files import Choice
from ..evaluate.scoring import Request, score_files
from .config import RunConfig
from .loop import Trainer, Unwatched
from .prepare import Start, prepare
from .recipes import RECIPES
from .run_folder import RunFolder, read_json
from .task import Precision

BLIND = "question-only"


@dataclass(frozen=True)
class Control:
    """A blind run: its folder, its best score, and the seconds that its training took."""

    run: Path
    score: float
    seconds: float


@dataclass(frozen=True)
class Gain:
    """A run's score less the control's, on the same images, with the interval of the difference."""

    difference: float
    interval: Interval


def blind_config(config: RunConfig) -> RunConfig:
    """The blind head under a run's recipe: as the recipe says, whatever else was typed."""
    recipe = RECIPES[config.recipe][BLIND]
    return replace(
        config,
        head=BLIND,
        features=[],
        feature_identity={},
        order="full",
        finetune=None,
        head_settings=recipe.head,
        optimisation=recipe.optimisation,
        follow=list(recipe.follow),
    )


def find_control(
    config: RunConfig, precision: Precision, announce: Callable[[str], None]
) -> Control:
    """The control of a VQA run, trained if it is not kept in the cache folder yet."""
    blind = blind_config(config)
    folder = RunFolder(cache_folder() / f"control-{fingerprint(blind)}")
    if not folder.summary.exists():
        announce(
            f"Training {BLIND} under the same recipe, once for this data set, to tell what seeing "
            "is worth (--no-control leaves it out)."
        )
        train_control(blind, folder, precision)
    return read_control(folder)


def fingerprint(blind: RunConfig) -> str:
    """Of all that the control depends on; data by their bytes, wherever they lie."""
    dataset = open_dataset(blind.data)
    paths = [
        find(split)
        for split in ("train", blind.split)
        for find in (dataset.questions_path, dataset.annotations_path)
    ]
    fields: dict[str, Any] = {**asdict(blind), "data": hash_files(paths), "version": __version__}
    return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()[:32]


def train_control(blind: RunConfig, folder: RunFolder, precision: Precision) -> None:
    """Train the control into its folder; an unfinished one is begun anew."""
    folder.config.unlink(missing_ok=True)
    folder.metrics.unlink(missing_ok=True)
    prepared = prepare(blind, precision, Start())
    folder.create(prepared.config, prepared.vocabulary)
    trainer = Trainer(prepared.task, prepared.config, folder)
    trainer.fit(Unwatched(), StopRequest())
    p = trainer.progress
    folder.write_summary(p.best_epoch, p.best_score, p.best_score, prepared.task.head)


def read_control(folder: RunFolder) -> Control:
    """What is kept of a control."""
    summary = read_json(folder.summary, f"remove {folder.path} to train it anew")
    lines = folder.metrics.read_text("utf-8").splitlines()
    epochs = [msgspec.json.decode(line) for line in lines]
    seconds = sum(epoch["train_seconds"] + epoch["val_seconds"] for epoch in epochs)
    return Control(folder.path, summary["best_score"], seconds)


def gain_over(control: Control, run: RunFolder) -> Gain | None:
    """A run's gain, by the paired bootstrap of ``score --against``; None if it cannot be told."""
    request = Request(
        results=[run.predictions],
        references=Choice(),
        against=control.run / "preds.json",
        n_resamples=1000,
        seed=0,
        intervals=False,
        announce=lambda text: None,
    )
    try:
        comparison = score_files(request).comparisons[0]
    except InputError:
        return None
    overall = comparison.differences[0]
    return Gain(overall.difference, overall.interval)

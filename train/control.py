"""What a head that sees nothing reaches on a run's data: the score that seeing must beat.

For questions that is ``question-only`` under the same recipe; for captions the one caption that
fits the training images best. Either is made once for a data set, and kept in the cache folder.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from .. import __version__
from ..console import StopRequest
from ..datasets.cache import cache_folder, hash_files
from ..datasets.catalog import open_dataset
from ..evaluate.bootstrap import Interval
from ..evaluate.reference_files import Choice
from ..evaluate.scoring import Request, score_files
from . import caption_data
from .caption_task import write_captions
from .config import RunConfig
from .constant_caption import constant_caption
from .loop import Trainer, Unwatched
from .prepare import Start, prepare
from .recipes import RECIPES
from .run_folder import RunFolder, read_json, write_json
from .task import Precision

BLIND = "question-only"
METRIC = {"vqa": "overall", "caption": "CIDEr"}  # that a gain is told in


@dataclass(frozen=True)
class Control:
    """What sees nothing: its predictions, and the seconds that making it took."""

    predictions: Path
    seconds: float


@dataclass(frozen=True)
class Gain:
    """A run's score, the control's, and their difference on the same images, with its interval."""

    score: float
    control: float
    difference: float
    interval: Interval


def blind_config(config: RunConfig) -> RunConfig:
    """The blind head under a run's recipe: as the recipe says, whatever else was typed, seed 0."""
    recipe = RECIPES[config.recipe][BLIND]
    return replace(
        config,
        head=BLIND,
        seed=0,
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
    """A run's control, made if it is not kept in the cache folder yet."""
    if config.task == "vqa":
        config = blind_config(config)
    folder = RunFolder(cache_folder() / f"control-{fingerprint(config)}")
    if not folder.summary.exists():
        announce(
            "control    finding, once for this data set, what a head reaches that sees nothing "
            "(--no-control leaves it out)"
        )
        folder.path.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        if config.task == "vqa":
            train_blind(config, folder, precision)
        else:
            write_constant(config, folder)
        write_json(folder.summary, {"seconds": time.perf_counter() - started})
    summary = read_json(folder.summary, f"remove {folder.path}, and it is made anew")
    return Control(folder.predictions, summary["seconds"])


def fingerprint(config: RunConfig) -> str:
    """Of all that the control depends on; data by their bytes, wherever they lie."""
    dataset = open_dataset(config.data)
    splits = "train", config.split
    if config.task == "vqa":
        finders = [dataset.questions_path, dataset.annotations_path]
        key: dict[str, Any] = asdict(config) | {"data": None}
    else:
        finders = [dataset.captions_path]
        key = {"splits": splits}
    files = hash_files(find(split) for split in splits for find in finders)
    packed = msgspec.json.encode([__version__, key, files], order="sorted")
    return hashlib.sha256(packed).hexdigest()[:32]


def train_blind(config: RunConfig, folder: RunFolder, precision: Precision) -> None:
    """Train the blind head into a folder; one that was left unfinished is begun anew."""
    for left in (folder.config, folder.metrics):
        left.unlink(missing_ok=True)
    prepared = prepare(config, precision, Start())
    folder.create(prepared.config, prepared.vocabulary)
    Trainer(prepared.task, prepared.config, folder).fit(Unwatched(), StopRequest())


def write_constant(config: RunConfig, folder: RunFolder) -> None:
    """Say the best one caption of all validation images."""
    dataset = open_dataset(config.data)
    options = caption_data.CaptionOptions(**config.data_settings)
    train, val, _ = caption_data.load_train_val(dataset, options)
    text = constant_caption(train.image_ids, train.references)
    write_captions(folder.predictions, val.image_ids, [text] * len(val.image_ids))


def gain_over(control: Control, run: RunFolder, task: str) -> Gain:
    """A run's gain, by the paired bootstrap of ``score --against``."""
    request = Request(
        results=[run.predictions],
        references=Choice(),
        against=control.predictions,
        n_resamples=1000,
        seed=0,
        intervals=False,
        announce=lambda text: None,
    )
    differences = score_files(request).comparisons[0].differences
    found = next(d for d in differences if d.metric.name == METRIC[task])
    return Gain(found.metric.value, found.other, found.difference, found.interval)

"""The control: what is reached on a run's data without the images, which seeing has to beat.

For questions that is ``question-only`` under the same recipe; for captions the one caption that
fits the training images best, since a decoder that sees nothing is always in the same state and
says the same of every image. Either is made once for a data set, and kept in the cache folder.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..console import StopRequest
from ..datasets.cache_folder import cache_folder
from ..datasets.catalog import open_dataset
from ..evaluate.bootstrap import Interval
from ..evaluate.captions.scores import score_captions
from ..evaluate.reference_files import Choice
from ..evaluate.scoring import Request, score_files
from .data import captions as caption_data
from .head import load_word_vectors
from .inputs import divide
from .prepare import prepare
from .progress import Watcher
from .run_folder import RunFolder, read_json, write_json
from .settings.config import RunConfig
from .settings.recipes import RECIPES, Recipe
from .tasks.captions import write_captions
from .tasks.task import Precision
from .trainer import Trainer

BLIND = "question-only"
METRIC = {"vqa": "overall", "caption": "CIDEr"}  # whose difference is the gain
CANDIDATES = 100  # captions that are tried as the one for all images
SCORED_IMAGES = 300  # that each is scored on


@dataclass(frozen=True)
class Control:
    """The control's predictions for the validation split, and the seconds that it took."""

    predictions: Path
    seconds: float


@dataclass(frozen=True)
class Gain:
    """The control's score, and a run's difference from it with the interval of that."""

    control: float
    difference: float
    interval: Interval


def find_control(
    config: RunConfig, precision: Precision, announce: Callable[[str], None]
) -> Control:
    """A run's control, made now unless it is in the cache folder.

    Raises ``OSError`` if the cache folder cannot be written.
    """
    blind = blind_config(config) if config.task == "vqa" else config
    folder = RunFolder(cache_folder() / f"control-{fingerprint(blind)}")
    folder.path.mkdir(parents=True, exist_ok=True)
    with folder.lock.acquire(timeout=-1):  # another run may be making it
        if not folder.summary.exists():
            announce(
                "control    finding out, once for this data set and recipe, what is reached "
                "without the images (--no-control leaves it out)"
            )
            started = time.perf_counter()
            if config.task == "vqa":
                train_blind(blind, folder, precision)
            else:
                write_constant(config, folder)
            write_json(folder.summary, {"seconds": time.perf_counter() - started})
    summary = read_json(folder.summary, f"remove the folder {folder.path}")
    return Control(folder.predictions, summary["seconds"])


def blind_config(config: RunConfig) -> RunConfig:
    """The blind head under a run's recipe: with seed 0, and whatever else was typed for the run."""
    recipe = blind_recipe(config.recipe)
    return replace(
        config,
        head=BLIND,
        seed=0,
        # By which it knows what the run leaves out.
        features=config.features if config.missing == "skip" else [],
        trust_ids=config.trust_ids and config.missing == "skip",
        feature_identity={},
        views=1,
        order="full",
        finetune=None,
        head_settings=recipe.head,
        optimisation=recipe.optimisation,
        digests={name: d for name, d in config.digests.items() if not name.endswith("_features")},
    )


def blind_recipe(name: str) -> Recipe:
    """The blind head's settings in the recipe of this name."""
    return RECIPES[name][BLIND]


def fingerprint(config: RunConfig) -> str:
    """A hash of all that the control depends on: the data by their digests, wherever they lie."""
    key: dict[str, object] = asdict(replace(config, data="", features=[], trust_ids=False))
    del key["views"]  # of images, that it does not see
    if config.task == "caption":
        named = ("captions", "images")
        key = {n: d for n, d in config.digests.items() if n.partition("_")[2] in named}
    packed = msgspec.json.encode([__version__, config.task, key], order="sorted")
    return hashlib.sha256(packed).hexdigest()[:32]


def train_blind(config: RunConfig, folder: RunFolder, precision: Precision) -> None:
    """Train the blind head in a folder; one that was left unfinished starts again."""
    for old in (folder.config, folder.metrics):
        old.unlink(missing_ok=True)
    prepared = prepare(config, precision, blind_recipe(config.recipe).adaptive)
    if config.word_vectors is not None:
        words = prepared.vocabulary["words"]
        load_word_vectors(prepared.task.head, words, config.word_vectors)
    folder.create(prepared.config, prepared.vocabulary)
    trainer = Trainer(prepared.task, prepared.config, folder)
    trainer.choose_step(lambda text: None)
    trainer.fit(Watcher(), StopRequest())


def write_constant(config: RunConfig, folder: RunFolder) -> None:
    """Write the one best caption for every validation image."""
    options = caption_data.CaptionOptions(**config.data_settings)
    division, _ = divide(config)
    train, val, _ = caption_data.load_train_val(open_dataset(config.data), options, division)
    text = constant_caption(train.image_ids, train.references)
    write_captions(folder.predictions, val.image_ids, [text] * len(val.image_ids), val.id_names)


def constant_caption(image_ids: NDArray[np.int64], references: Sequence[Sequence[str]]) -> str:
    """Of captions of training images, the one with the highest CIDEr-D as caption of all.

    ``image_ids``: int64 ``[N]``, with an entry each of ``references``, their captions.
    """
    scored = spaced(len(image_ids), SCORED_IMAGES)
    ids = image_ids[scored].tolist()
    spoken = [list(references[i]) for i in scored]
    candidates: list[str] = [references[i][0] for i in spaced(len(image_ids), CANDIDATES)]
    scores = [
        score_captions(ids, [text] * len(ids), spoken, metrics=("cider",)).cider_mean()
        for text in candidates
    ]
    return candidates[int(np.argmax(scores))]


def spaced(n: int, most: int) -> NDArray[np.int64]:
    """At most so many indices below ``n``, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def gain_over(control: Control, run: RunFolder, config: RunConfig) -> Gain:
    """A run's gain, by the paired bootstrap of ``score --against``."""
    request = Request(
        results=[run.predictions],
        references=Choice(
            data=config.data, split=config.split, only_predicted=bool(config.left_out)
        ),
        against=control.predictions,
        n_resamples=1000,
        seed=0,
        intervals=False,
        announce=lambda text: None,
    )
    differences = score_files(request).comparisons[0].differences
    found = next(d for d in differences if d.metric.name == METRIC[config.task])
    return Gain(found.other, found.difference, found.interval)

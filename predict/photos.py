"""Photos of one's own, a folder or a feature file of them: their features, and what is said."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..console import call_command
from ..datasets.images.image_list import list_folder_images
from ..datasets.text import Vocabulary, tokenize
from ..errors import InputError
from ..featurize.cli import featurize
from ..featurize.file.layout import DONE, GRID, name_grid
from ..featurize.file.origins import origins_of
from ..featurize.file.reader import FeatureFile, open_features
from ..featurize.file.views import check_plain
from ..featurize.rebuild import find_weights, rebuild, seed_of
from ..models.base import CaptionHead
from ..models.beam import BeamOptions
from ..train.data.batches import SamplesByImage
from ..train.data.vqa import VqaOptions
from ..train.features.split import SplitFeatures
from ..train.settings.config import RunConfig
from .backbone import preprocessing_of, read_identity
from .passes import answer_all, describe_all
from .questions import AskedQuestion, ImageNames, read_questions
from .records import AttentionGrid, Record
from .trained import TrainedRun


@dataclass(frozen=True)
class PhotosRequest:
    """What is asked about photos of one's own.

    Attributes:
        images: a folder, or None where ``features`` holds their features.
        features: a feature file, or None.
        question: one question on every photo, or None.
        questions: a file of image and question, or None.
        keep: where the folder's feature file is to stay, or None.
        on_error: at a photo that cannot be decoded: ``stop`` or ``skip``.
        weights: where the network's weights are, if the run does not say.
        device: its name, as in the command line.
    """

    images: Path | None
    features: Path | None
    question: str | None
    questions: Path | None
    keep: Path | None
    on_error: str
    weights: str | None
    device: str

    @property
    def where(self) -> Path:
        """What the photos are called by: the folder or the feature file."""
        where = self.images or self.features
        assert where is not None
        return where.resolve()


@dataclass(frozen=True)
class Photos:
    """The photos that have features, by row; ``features`` is None for a head that reads none.

    ``image_id`` int64 [N]; ``file_name`` N paths; ``failed``: rows without features.
    """

    where: Path
    image_id: NDArray[np.int64]
    file_name: list[str]
    failed: frozenset[int]
    features: SplitFeatures | None

    @property
    def rows(self) -> list[int]:
        """The rows that can be predicted."""
        return [row for row in range(len(self.file_name)) if row not in self.failed]


@contextmanager
def open_photos(run: TrainedRun, request: PhotosRequest, scratch: Path) -> Iterator[Photos]:
    """The photos with their features, which are made first if need be.

    Unless they are to be kept, they lie in the folder ``scratch`` until the end.

    Raises ``InputError`` for a folder without images, weights that are not found, and features of
    another network.
    """
    if request.images is not None and run.head.features == "none":
        images = list_folder_images(request.images)
        yield Photos(
            request.images, images.image_ids, images.file_names, frozenset(), features=None
        )
        return
    if request.features is not None:
        yield read_photos(run, request.features, request.features)
        return
    assert request.images is not None
    with tempfile.TemporaryDirectory(prefix=".features-", dir=scratch) as folder:
        out = request.keep or Path(folder) / "photos.h5"
        make_features(run.config, request, out)
        yield read_photos(run, out, request.images)


def make_features(config: RunConfig, request: PhotosRequest, out: Path) -> None:
    """Extract the folder's features as the run's were; prints what ``featurize`` prints."""
    identity, preprocessing = read_identity(config), preprocessing_of(config)
    rebuild(asdict(identity), request.weights)  # are these the weights? else all would be in vain
    call_command(
        featurize,
        request.images,
        out=out,
        backbone=identity.backbone,
        weights=request.weights or find_weights(identity.weights),
        seed=seed_of(identity.weights),
        layer=identity.layer,
        grid="14" if identity.grid == name_grid(GRID) else "native",
        image_size=preprocessing.image_size,
        crop=preprocessing.crop,
        decode=preprocessing.decode,
        draft=preprocessing.draft,
        dtype=identity.dtype,
        on_error=request.on_error,
        device=request.device,
    )


def read_photos(run: TrainedRun, path: Path, where: Path) -> Photos:
    """All images of a feature file; raises ``InputError`` if another network made it."""
    file = open_features(path)
    check_plain(path, file.provenance)
    check_identity(file, run.config)
    ready = (file.status == DONE) & ~file.damaged
    if not ready.any():
        raise InputError(f"{path}: no image has features; run `featurize` again.")
    failed = frozenset(np.flatnonzero(~ready).tolist())
    kind = "grid" if run.config.finetune is not None else run.head.features
    features = None if kind == "none" else SplitFeatures(file.parts, kind)
    return Photos(where, file.image_id, file.file_name, failed, features)


def is_of_other_images(path: Path, config: RunConfig) -> bool:
    """Whether a feature file is of a plain folder, or of another data set than the run's own."""
    if str(path.resolve()) in (str(Path(own).resolve()) for own in config.features):
        return False
    own_name = Path(config.data).resolve().name
    return all(
        not origin.split or origin.data != own_name for origin in origins_of(open_features(path))
    )


def check_identity(file: FeatureFile, config: RunConfig) -> None:
    """Raise ``InputError`` unless the features are of the kind that the run was trained on."""
    identity, wanted = file.identity(), config.feature_identity
    different = [name for name in wanted if identity.get(name) != wanted[name]]
    if different:
        what = ", ".join(f"{n} {identity.get(n)!r} instead of {wanted[n]!r}" for n in different)
        raise InputError(
            f"{file.path}: these features are not of the kind that the run was trained on: {what}; "
            "let --images FOLDER make the right ones."
        )


def answer_photos(
    run: TrainedRun,
    photos: Photos,
    request: PhotosRequest,
    with_attention: bool,
    say: Callable[[str], object],
) -> tuple[list[Record], list[AttentionGrid]]:
    """The answer to every question on the photos, in their order, and where the head looked."""
    asked = list_questions(photos, request)
    lost = [question for question in asked if question.row in photos.failed]
    if lost:
        names = dict.fromkeys(photos.file_name[question.row] for question in lost)
        say(f"left out   {len(lost)} questions on images without features: {some(list(names))}")
    asked = [question for question in asked if question.row not in photos.failed]
    if not asked:
        raise InputError(f"{photos.where}: no question is on an image that has features.")
    tokens = [tokenize(question.text) for question in asked]
    for question, words in zip(asked, tokens, strict=True):
        if not words:
            raise InputError(
                f"The question {question.text!r} (question_id {question.question_id}) holds no "
                "word; type a question."
            )
    longest = VqaOptions(**run.config.data_settings).max_question_length
    ids, length = Vocabulary(run.words).encode_tokens(tokens, longest)
    image_id = photos.image_id[[question.row for question in asked]]
    samples = SamplesByImage(image_id, ids, length, photos.features)
    answers = answer_all(run, samples, with_attention)
    records = [
        {
            "question_id": question.question_id,
            "image_id": int(photos.image_id[question.row]),
            "file_name": photos.file_name[question.row],
            "question": question.text,
            "answer": run.answers[answer],
            "probability": round(float(probability), 6),
        }
        for question, answer, probability in zip(
            asked, answers.answer, answers.probability, strict=True
        )
    ]
    return records, answers.attention


def list_questions(photos: Photos, request: PhotosRequest) -> list[AskedQuestion]:
    """The questions that are asked."""
    if request.questions is None:
        assert request.question is not None
        return [
            AskedQuestion(number, row, request.question) for number, row in enumerate(photos.rows)
        ]
    names = ImageNames(photos.where, photos.file_name, photos.image_id.tolist())
    return read_questions(request.questions, names)


def describe_photos(
    run: TrainedRun, photos: Photos, options: BeamOptions, with_attention: bool
) -> tuple[list[Record], list[AttentionGrid]]:
    """A caption for every photo, in the order of the rows, and where the head looked."""
    assert isinstance(run.head, CaptionHead)
    assert photos.features is not None
    captions = describe_all(run, photos.features, np.array(photos.rows), options, with_attention)
    records = [
        {
            "image_id": int(photos.image_id[row]),
            "file_name": photos.file_name[row],
            "caption": text,
        }
        for row, text in zip(photos.rows, captions.text, strict=True)
    ]
    return records, captions.attention


def some(names: list[str]) -> str:
    """The first few names, and whether there are more."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")

"""A trained run in a Python program: load it, ask it, have it describe photos."""

import os
import warnings
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack, overload

from numpy.typing import NDArray
from PIL import Image

from ..datasets.images.image_list import list_folder_images
from ..devices import pick_device
from ..errors import InputError
from ..explain.session import InferenceSession
from ..models.beam import BeamOptions
from ..predict.inference import DEFAULT_BEAM, answer_question, generate_caption
from ..predict.photo import PhotoLike, take_photo
from ..predict.trained import TrainedRun, load_run
from .results import Answer, Asked, Caption, grids


class CaptionOptions(TypedDict, total=False):
    """The options of ``Run.caption``."""

    beam: int
    max_length: int
    length_power: float
    no_repeated_trigrams: bool
    on_error: Literal["stop", "skip"]


class Run:
    """A trained run, made by ``frostgrid.load``.

    The frozen network that made the run's features is built at the first photo. The features of the
    last photos are kept, so that a second question to one of them is quick. Not for several threads
    at once.

    Attributes:
        path: the run folder.
        head: the head's name, ``"san"`` for example.
        task: ``"vqa"``, which asks for ``ask``, or ``"caption"``, which asks for ``caption``.
        words: the words of questions or captions that it knows.
        answers: all answers that it can give; empty for a captioning run.
    """

    def __init__(self, path: Path, trained: TrainedRun, weights: str | None) -> None:
        self.path = path
        self.head: str = trained.config.head
        self.task: Literal["vqa", "caption"] = trained.config.task
        self.words, self.answers = trained.words, trained.answers
        self._trained, self._weights = trained, weights

    def __repr__(self) -> str:
        return f"<frostgrid.Run {str(self.path)!r}: {self.head}, {self.task}>"

    @cached_property
    def _session(self) -> InferenceSession:
        device = self._trained.precision.device
        return InferenceSession([(self.path.name, self._trained)], self._weights, device)

    def ask(self, photo: PhotoLike, question: str, *, n_answers: int = 5) -> Answer:
        """Answer a question about a photo, with the ``n_answers`` most probable answers.

        ``photo``: the path of an image file, a PIL image, or a NumPy array of uint8: grey [H, W],
        RGB [H, W, 3] or RGBA [H, W, 4]. Raises ``InputError`` for a photo that cannot be decoded,
        a question without words, a captioning run, and network weights that are not found.
        """
        if self.task != "vqa":
            raise InputError(f"{self.path}: {self.head} describes photos; call caption instead.")
        if n_answers < 1:
            raise InputError(f"n_answers is {n_answers}; it must be at least 1.")
        taken, (loaded,) = take_photo(photo), self._session.runs
        features = self._session.extract(taken, loaded.network)
        cells = None if features is None else features.select(self._trained.head.features)
        found = answer_question(self._trained, cells, question, n_answers)
        text, probability = found.answers[0]
        return Answer(
            text=text,
            attention=grids(found.attention),
            _prediction=found,
            _asked=Asked(taken, loaded.crop, self._title, question),
            probability=probability,
            answers=found.answers,
            unknown=found.unknown,
            n_unread=found.n_unread,
        )

    @overload
    def caption(
        self, photo: Image.Image | NDArray[Any], **options: Unpack[CaptionOptions]
    ) -> Caption: ...

    @overload  # what is at a path, a type checker cannot know
    def caption(self, photo: str | os.PathLike[str], **options: Unpack[CaptionOptions]) -> Any: ...

    def caption(
        self, photo: PhotoLike, **options: Unpack[CaptionOptions]
    ) -> Caption | dict[str, Caption]:
        """Describe a photo, or every photo in a folder and below.

        ``photo`` as for ``ask``; for a folder the result is a dict, file name to ``Caption``, in
        natural order. ``options``: ``beam`` (5; 1 is greedy), ``max_length`` (20 words),
        ``length_power`` (1.0; 0 favours short ones), ``no_repeated_trigrams`` (False), and
        ``on_error`` ("stop"; "skip" leaves photos of a folder out that cannot be decoded, with a
        warning). Raises ``InputError`` as ``ask`` does.
        """
        if self.task != "caption":
            raise InputError(f"{self.path}: {self.head} answers questions; call ask instead.")
        on_error = options.pop("on_error", "stop")
        search = replace(DEFAULT_BEAM, **options)  # type: ignore[misc]  # on_error is out
        if search.beam < 1 or search.max_length < 1:
            raise InputError(f"{search}: beam and max_length must be at least 1.")
        if not isinstance(photo, str | os.PathLike) or not Path(photo).is_dir():
            return self._describe(photo, search)
        images = list_folder_images(Path(photo))
        found: dict[str, Caption] = {}
        for row, name in enumerate(images.file_names):
            try:
                found[name] = self._describe(images.path(row), search)
            except InputError as error:
                if on_error != "skip":
                    raise
                warnings.warn(f"left out: {error}", stacklevel=2)
        return found

    def _describe(self, photo: PhotoLike, search: BeamOptions) -> Caption:
        taken, (loaded,) = take_photo(photo), self._session.runs
        features = self._session.extract(taken, loaded.network)
        assert features is not None  # every captioning head reads images
        cells = features.select(self._trained.head.features)
        found = generate_caption(self._trained, cells, search)
        asked = Asked(taken, loaded.crop, self._title)
        return Caption(found.sentence, grids(found.attention), found, asked, found.words)

    @property
    def _title(self) -> str:
        return " · ".join(dict.fromkeys([self.head, self.path.resolve().name]))


def load(
    path: str | os.PathLike[str], *, weights: str | None = None, device: str | None = None
) -> Run:
    """Load the best epoch of the run in a folder.

    ``weights``: the frozen network's (``"imagenet"``, ``"random"`` or a file), where the run does
    not say how to get them. ``device``: ``"auto"``, ``"cpu"`` or ``"cuda"``; if left out,
    ``FROSTGRID_DEVICE``, or else auto. Raises ``InputError`` when a file is missing or invalid.
    """
    chosen = pick_device(device or os.environ.get("FROSTGRID_DEVICE", "auto"))
    folder = Path(path)
    return Run(folder, load_run(folder, chosen), weights)

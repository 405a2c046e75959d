"""The embedded default set: the PyPI package ``easy-vqa`` in the official formats."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..atomic import write_bytes
from ..errors import InputError
from .cache_folder import cache_folder
from .dataset import Dataset
from .easy_vqa_attributes import COLORS, SHAPES, Attributes, Entry, find_attributes
from .images.image_list import ImageList, digest_images, image_list, number_at_end
from .images.stated_images import StatedImages

NAME = "easy-vqa"
FORMAT_VERSION = 1  # of the files derived here; raise it when they change
N_PEOPLE = 10  # answers a question in the official format
FOLDERS = {"train": "train", "val": "test"}
CAPTION_TEMPLATES = (
    "a {color} {shape}",
    "there is a {color} {shape} in the image",
    "the image contains a {color} {shape}",
    "a picture of a {shape} that is {color}",
    "one {color} {shape} on a light background",
)


class EasyVqa(Dataset):
    """4,000 training and 1,000 validation pictures of one shape each, with 48,248 questions.

    The package's test set serves as ``val``; ``test`` is an alias. An image's id is the
    package's own (0 … 3999 in train, 0 … 999 in val), so ids repeat between the splits. The
    official files are derived once, into the user's cache folder.
    """

    def __init__(self) -> None:
        spec = importlib.util.find_spec("easy_vqa")
        if spec is None or not spec.submodule_search_locations:
            raise InputError(
                "the package easy-vqa, the default data set, is not installed; run "
                "pip install easy-vqa, or give a data folder."
            )
        super().__init__(NAME, Path(spec.submodule_search_locations[0]) / "data")

    def splits(self) -> tuple[str, ...]:
        """Train and val."""
        return ("train", "val")

    def checked_split(self, split: str) -> str:
        """``split`` itself, with "test" read as "val"; ``InputError`` if it is none of these."""
        return super().checked_split("val" if split == "test" else split)

    def images(self, split: str, partial: bool = False) -> ImageList:
        """The split's pictures, as they lie in the installed package."""
        folder = self.images_root(split)
        names = [path.name for path in folder.glob("*.png")]
        images = image_list(folder, [(name, number_at_end(name)) for name in names])
        return replace(images, data_digest=images.digest)

    def images_root(self, split: str) -> Path:
        """The package's folder of the split's pictures."""
        return self.root / FOLDERS[self.checked_split(split)] / "images"

    def stated_images(self, split: str) -> StatedImages:
        """The pictures under the package's own names, which are their ids."""
        ids = sorted({image_id for _, _, image_id in self.entries(split)})
        names = [f"{image_id}.png" for image_id in ids]
        digest = digest_images(zip(names, ids, strict=True))
        return StatedImages(np.array(ids, np.int64), names, digest, [self.root])

    def questions_path(self, split: str) -> Path:
        """The derived questions file."""
        return self._derived(split, "questions")

    def annotations_path(self, split: str) -> Path:
        """The derived annotations file: the one answer of the package, ten times."""
        return self._derived(split, "annotations")

    def captions_path(self, split: str) -> Path:
        """The derived captions file: five template sentences from the colour and the shape."""
        return self._derived(split, "captions")

    def has_vqa(self, split: str) -> bool:
        """Whether the set has the split: all have questions."""
        return split in ("train", "val", "test")

    def has_annotations(self, split: str) -> bool:
        """Whether the set has the split: all have answers."""
        return split in ("train", "val", "test")

    def has_captions(self, split: str) -> bool:
        """Whether the set has the split: all have captions."""
        return split in ("train", "val", "test")

    def _derived(self, split: str, kind: str) -> Path:
        split = self.checked_split(split)
        folder = cache_folder() / f"{NAME}-{version(NAME)}-{FORMAT_VERSION}"
        path = folder / f"{split}_{kind}.json"
        if not path.exists():
            content = msgspec.json.encode(_DERIVE[kind](self, split))
            try:
                folder.mkdir(parents=True, exist_ok=True)
                write_bytes(path, content)
            except OSError as error:
                raise InputError(
                    f"{path}: cannot be written ({error.strerror}); set FROSTGRID_CACHE to a "
                    f"folder that can, with {len(content) / 1e6:.0f} MB free."
                ) from error
        return path

    def entries(self, split: str) -> list[Entry]:
        """The package's own entries: question, answer and image id, image by image."""
        path = self.root / FOLDERS[self.checked_split(split)] / "questions.json"
        entries = msgspec.json.decode(path.read_bytes(), type=list[Entry])
        return sorted(entries, key=lambda entry: entry[2])


def derive_questions(dataset: EasyVqa, split: str) -> dict[str, Any]:
    """The split's questions in the official format; see ``question_ids`` for the ids."""
    entries = dataset.entries(split)
    return {
        "task_type": "Open-Ended",
        "data_type": NAME,
        "data_subtype": split,
        "questions": [
            {"question_id": question_id, "image_id": image_id, "question": question}
            for question_id, (question, _, image_id) in zip(
                question_ids(entries), entries, strict=True
            )
        ],
    }


def derive_annotations(dataset: EasyVqa, split: str) -> dict[str, Any]:
    """The split's answers in the official format: the one true answer, as if ten people gave it."""
    entries = dataset.entries(split)
    return {
        "data_type": NAME,
        "data_subtype": split,
        "annotations": [
            {
                "question_id": question_id,
                "image_id": image_id,
                "question_type": question_type(question, answer),
                "answer_type": "yes/no" if answer in ("yes", "no") else "other",
                "multiple_choice_answer": answer,
                "answers": [
                    {"answer": answer, "answer_confidence": "yes", "answer_id": i + 1}
                    for i in range(N_PEOPLE)
                ],
            }
            for question_id, (question, answer, image_id) in zip(
                question_ids(entries), entries, strict=True
            )
        ],
    }


def question_ids(entries: list[Entry]) -> list[int]:
    """Ids as VQA v2 makes them: the image id times 1000 plus a running number in the image."""
    ids: list[int] = []
    running: dict[int, int] = {}
    for _, _, image_id in entries:
        running[image_id] = running.get(image_id, -1) + 1
        ids.append(image_id * 1000 + running[image_id])
    return ids


def question_type(question: str, answer: str) -> str:
    """What is asked for: "what color", "what shape", "is there" or, negated, "is there no"."""
    if answer in COLORS:
        return "what color"
    if answer in SHAPES:
        return "what shape"
    return "is there no" if {"no", "not"} & set(question.split()) else "is there"


def derive_captions(dataset: EasyVqa, split: str) -> dict[str, Any]:
    """Five template sentences an image, in the COCO format: no person wrote them.

    For colour and shape see ``find_attributes``.
    """
    images = dataset.images(split)
    attributes = find_attributes(dataset.entries(split), images)
    captions = [
        {"image_id": image_id, "id": image_id * 1000 + i, "caption": _caption(template, known)}
        for image_id, known in attributes.items()
        for i, template in enumerate(CAPTION_TEMPLATES)
    ]
    files = zip(images.image_ids.tolist(), images.file_names, strict=True)
    return {
        "info": {"description": f"template sentences derived from {NAME}"},
        "images": [{"id": image_id, "file_name": name} for image_id, name in files],
        "annotations": captions,
    }


def _caption(template: str, known: Attributes) -> str:
    return template.format(color=known.color, shape=known.shape)


_DERIVE: dict[str, Callable[[EasyVqa, str], dict[str, Any]]] = {
    "questions": derive_questions,
    "annotations": derive_annotations,
    "captions": derive_captions,
}

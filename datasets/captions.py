"""Reference captions: COCO and Karpathy files to one checked table."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .dataset import Dataset
from .formats import Captions, Karpathy, SourceFile, decode
from .official_names import KARPATHY_SPLITS, is_karpathy
from .questions import check_distinct, id_array


@dataclass(frozen=True)
class CaptionTable:
    """The captions of a split, all captions of an image adjacent.

    ``image_id`` is int64 [C], one for each caption; ``text`` holds the captions as written. Images
    stand in the order of the file's "images" list, which is the order in which the official
    evaluation goes through them (without that list: of their first caption), and the captions of
    an image in the order of the file.
    """

    image_id: NDArray[np.int64]
    text: list[str]

    def __len__(self) -> int:
        return len(self.text)

    def by_image(self) -> dict[int, list[str]]:
        """Image id -> its captions, in the table's order."""
        result: dict[int, list[str]] = {}
        for image_id, text in zip(self.image_id.tolist(), self.text, strict=True):
            result.setdefault(image_id, []).append(text)
        return result


def load_captions(dataset: Dataset, split: str) -> CaptionTable:
    """The split's captions; of a Karpathy file, train is "train" and "restval" together.

    Raises ``InputError`` when the file is missing, not in the format, without captions for the
    split, names an id twice or, in a caption, an image that its own "images" list lacks.
    """
    return read_captions(dataset.captions_path(split), dataset.checked_split(split))


def read_captions(path: Path | SourceFile, split: str) -> CaptionTable:
    """As ``load_captions``, from a file; ``split`` matters only in a Karpathy file."""
    by_image = (_read_karpathy if is_karpathy(path.name) else _read_coco)(path, split)
    image_ids = [image_id for image_id, texts in by_image.items() for _ in texts]
    if not image_ids:
        raise InputError(f"{path}: holds no caption for the split {split!r}; expected some.")
    texts = [text for texts in by_image.values() for text in texts]
    return CaptionTable(id_array(image_ids, path), texts)


def _read_coco(path: Path | SourceFile, split: str) -> dict[int, list[str]]:
    captions = decode(path, Captions)
    by_image: dict[int, list[str]] = {image.id: [] for image in captions.images}
    with_id = [c.id for c in captions.annotations if c.id is not None]
    if len(set(with_id)) < len(with_id):
        check_distinct(id_array(with_id, path), path, "annotations", "id")
    for i, caption in enumerate(captions.annotations):
        if captions.images and caption.image_id not in by_image:
            raise InputError(
                f"{path}: annotations[{i}] is on the image {caption.image_id}, which the file's "
                '"images" list lacks; expected one of its ids.'
            )
        by_image.setdefault(caption.image_id, []).append(caption.caption)
    return by_image


def _read_karpathy(path: Path | SourceFile, split: str) -> dict[int, list[str]]:
    by_image: dict[int, list[str]] = {}
    for i, entry in enumerate(decode(path, Karpathy).images):
        if entry.split not in KARPATHY_SPLITS[split]:
            continue
        number = entry.imgid if entry.cocoid is None else entry.cocoid
        if number in by_image:
            raise InputError(
                f"{path}: images[{i}] ({entry.filename}) has the image id {number} of an earlier "
                "entry; expected distinct ids."
            )
        by_image[number] = [sentence.raw for sentence in entry.sentences]
    return by_image

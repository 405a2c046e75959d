"""Reference captions: COCO and Karpathy files to one checked table."""

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .dataset import Dataset
from .formats import Captions, Karpathy, SourceFile, decode
from .ids import Id, canonical, id_names
from .images.stated_images import parser_of
from .official_names import is_of_split
from .questions import check_distinct, id_array


@dataclass(frozen=True)
class References:
    """The captions of a split, by image id, an int or a string; images without any are left out.

    Images stand in the order of the file's "images" list, which is the order in which the official
    evaluation goes through them (without that list: of their first caption), and the captions of
    an image in the order of the file. ``n_dropped`` captions are left out because VizWiz marks them
    as rejected or precanned, and with them the images ``dropped``, which have no other.
    ``domains``: nocaps' domain of each image.
    """

    by_image: dict[int | str, list[str]]
    n_dropped: int = 0
    dropped: frozenset[int | str] = frozenset()
    domains: dict[int | str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CaptionTable:
    """The captions of a split, all captions of an image adjacent, in the order of ``References``.

    ``image_id`` is int64 [C], one for each caption; ``text`` holds the captions as written;
    ``id_names`` the image ids that are no numbers, by the number that stands for each;
    ``n_dropped`` as in ``References``.
    """

    image_id: NDArray[np.int64]
    text: list[str]
    id_names: dict[int, str] = field(default_factory=dict)
    n_dropped: int = 0

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
    file = dataset.source(dataset.captions_path(split))
    return read_captions(file, dataset.checked_split(split))


def read_captions(path: Path | SourceFile, split: str) -> CaptionTable:
    """As ``load_captions``, from a file; ``split`` matters only in a Karpathy file."""
    references = read_references(path, split)
    by_image = references.by_image
    image_ids: list[Id] = [image_id for image_id, texts in by_image.items() for _ in texts]
    texts = [text for texts in by_image.values() for text in texts]
    ids = id_array(image_ids, path)
    return CaptionTable(ids, texts, id_names(by_image), references.n_dropped)


def read_references(path: Path | SourceFile, split: str) -> References:
    """As ``read_captions``, under the ids as they are written."""
    source = SourceFile(path, path.read_bytes()) if isinstance(path, Path) else path
    read = _read_karpathy if parser_of(source) == "karpathy" else _read_coco
    references = read(source, split)
    by_image = {image_id: texts for image_id, texts in references.by_image.items() if texts}
    if not by_image:
        raise InputError(f"{path}: holds no caption for the split {split!r}; expected some.")
    return replace(references, by_image=by_image)


def _read_coco(path: SourceFile, split: str) -> References:
    captions = decode(path, Captions)
    by_image: dict[int | str, list[str]] = {canonical(image.id): [] for image in captions.images}
    with_id = [c.id for c in captions.annotations if c.id is not None]
    if len(set(with_id)) < len(with_id):
        check_distinct(id_array(with_id, path), path, "annotations", "id", with_id)
    marked: set[int | str] = set()
    n_dropped = 0
    for i, caption in enumerate(captions.annotations):
        image_id = canonical(caption.image_id)
        if captions.images and image_id not in by_image:
            raise InputError(
                f"{path}: annotations[{i}] is on the image {image_id}, which the file's "
                '"images" list lacks; expected one of its ids.'
            )
        # As VizWiz's own loader does.
        if caption.is_rejected or caption.is_precanned:
            n_dropped += 1
            marked.add(image_id)
        else:
            by_image.setdefault(image_id, []).append(caption.caption)
    dropped = frozenset(image_id for image_id in marked if not by_image.get(image_id))
    domains = {canonical(image.id): image.domain for image in captions.images if image.domain}
    return References(by_image, n_dropped, dropped, domains)


def _read_karpathy(path: SourceFile, split: str) -> References:
    by_image: dict[int | str, list[str]] = {}
    splits: Counter[str] = Counter()
    for i, entry in enumerate(decode(path, Karpathy).images):
        splits[entry.split] += 1
        if not is_of_split(entry.split, split):
            continue
        image_id = canonical(entry.id)
        if image_id in by_image:
            raise InputError(
                f"{path}: images[{i}] ({entry.filename}) has the image id {image_id} of an earlier "
                "entry; expected distinct ids."
            )
        by_image[image_id] = [sentence.raw for sentence in entry.sentences]
    if splits and not by_image:
        found = ", ".join(f"{name!r} ({n} images)" for name, n in splits.items())
        raise InputError(
            f"{path}: holds no caption for the split {split!r}; the splits in it are {found}."
        )
    return References(by_image)

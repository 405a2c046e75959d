"""Caption data for training: JSON files to integer arrays, kept in the cache folder."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...datasets.cache import (
    Arrays,
    cached_arrays,
    pack_names,
    string_array,
    strings_of,
    unpack_names,
)
from ...datasets.captions import CaptionTable, read_captions
from ...datasets.dataset import Dataset
from ...datasets.text import CAPTION_SPECIALS, Vocabulary, tokenize_all
from ..features.views import says_side
from .digests import digest
from .selection import (
    NOTHING,
    Division,
    LeftOut,
    SplitPart,
    pack_left_out,
    unpack_left_out,
)
from .vocabulary import build_vocabulary

FORMAT_VERSION = 5  # of the cached arrays; raise it when the same files would give others


@dataclass(frozen=True)
class CaptionOptions:
    """How captions become tokens.

    ``min_word_count``: times that a word must occur in the training captions.
    ``max_length``: words after which a caption is cut, without ``<start>`` and ``<end>``.
    """

    min_word_count: int = 5
    max_length: int = 50


@dataclass
class CaptionData:
    """The captions of one split, all captions of an image adjacent.

    ``image_id``, int64 [C], ``tokens``, int32 [C, T], from ``<start>`` to ``<end>``, padded with 0,
    and ``length``, int32 [C], both marks included, have a row a caption. ``image_ids``, int64 [N],
    and ``references``, the captions as written, have an entry an image, in the captions' order.
    ``is_cut``, bool [C]: which captions were cut to the greatest length; ``digests``: that of the
    captions as written; ``left_out``: what of the split is not here (see ``selection``);
    ``id_names``: the image ids that are no numbers, by the number that stands for each;
    ``n_dropped``: how many captions VizWiz marks as rejected or precanned. ``says_side``, bool [C]:
    which captions say left or right.
    """

    image_id: NDArray[np.int64]
    tokens: NDArray[np.int32]
    length: NDArray[np.int32]
    references: list[list[str]]
    image_ids: NDArray[np.int64]
    is_cut: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    digests: dict[str, str] = field(default_factory=dict)
    id_names: dict[int, str] = field(default_factory=dict)
    n_dropped: int = 0
    left_out: LeftOut = field(default_factory=dict)
    says_side: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))

    @property
    def n_cut(self) -> int:
        """How many were cut to the greatest length."""
        return int(self.is_cut.sum())

    @property
    def sided_images(self) -> NDArray[np.int64]:
        """The ids of the images of which a caption says left or right."""
        return np.unique(self.image_id[self.says_side])

    def of_part(self, part: SplitPart) -> "CaptionData":
        """The captions of a part of the split's images."""
        if part.image_ids is None:
            return self
        rows = np.flatnonzero(part.keeps(self.image_id))
        images = np.flatnonzero(part.keeps(self.image_ids))
        return replace(
            self,
            image_id=self.image_id[rows],
            tokens=self.tokens[rows],
            length=self.length[rows],
            is_cut=self.is_cut[rows],
            says_side=self.says_side[rows],
            references=[self.references[i] for i in images],
            image_ids=self.image_ids[images],
            left_out=part.count_left_out(self.image_id),
        )


def load_train_val(
    dataset: Dataset, options: CaptionOptions, division: Division | None = None
) -> tuple[CaptionData, CaptionData, list[str]]:
    """The training and the validation split, and the words, which come from training alone.

    A ``division`` may leave out some of either; without validation its split is empty. Raises
    ``InputError`` when a file is missing or does not fit; see ``read_captions``.
    """
    division = division or Division()
    if division.val is not None:  # training is scored on it, so say at once if it is missing
        dataset.captions_path(division.val.split)
    files = [dataset.source(dataset.captions_path(part.split)) for part in division.train]
    hashes = [file.sha256 for file in files]
    key = [FORMAT_VERSION, asdict(options), *hashes, *division.key]

    def build() -> Arrays:
        pairs = zip(files, division.train, strict=True)
        tables = [read_captions(file, part.split) for file, part in pairs]
        table, left_out = _join_parts(division, tables)
        tokens = tokenize_all(table.text)
        vocabulary = build_vocabulary(tokens, CAPTION_SPECIALS, options.min_word_count, files[0])
        arrays = _pack(table, tokens, vocabulary, options.max_length)
        return arrays | {"words": string_array(vocabulary.words), "left_out": left_out}

    arrays = cached_arrays("captions-train", key, build)
    words, train = strings_of(arrays["words"]), _unpack(arrays)
    if division.val is None:
        return train, replace(train.of_part(NOTHING), digests={}), words
    val = load_split(dataset, division.val.split, words, options.max_length)
    return train, val.of_part(division.val), words


def load_split(
    dataset: Dataset, split: str, words: Sequence[str], max_length: int = 50
) -> CaptionData:
    """One split in the words of a trained head.

    Raises ``InputError`` as ``load_train_val`` does.
    """
    split = dataset.checked_split(split)
    file = dataset.source(dataset.captions_path(split))
    # A Karpathy file holds all splits, so the file alone does not say which.
    key = [FORMAT_VERSION, split, max_length, list(words), file.sha256]

    def build() -> Arrays:
        table = read_captions(file, split)
        return _pack(table, tokenize_all(table.text), Vocabulary(words), max_length)

    return _unpack(cached_arrays("captions-split", key, build))


def _join_parts(
    division: Division, tables: Sequence[CaptionTable]
) -> tuple[CaptionTable, NDArray[np.uint8]]:
    """The training parts' captions as one table, and what is left out, packed."""
    left_out, image_ids, texts = [], [], []
    for k, (part, table) in enumerate(zip(division.train, tables, strict=True)):
        left_out.append(part.count_left_out(table.image_id))
        rows = np.flatnonzero(part.keeps(table.image_id))
        image_ids.append(division.numbers(k, table.image_id[rows]))
        texts += [table.text[row] for row in rows]
    n_dropped = sum(table.n_dropped for table in tables)
    table = CaptionTable(np.concatenate(image_ids), texts, n_dropped=n_dropped)
    return table, pack_left_out(left_out)


def _pack(
    table: CaptionTable, texts_tokens: list[list[str]], vocabulary: Vocabulary, max_length: int
) -> Arrays:
    tokens, length = vocabulary.encode_captions(texts_tokens, max_length)
    by_image = table.by_image()
    return {
        "is_cut": np.array([len(words) > max_length for words in texts_tokens], np.bool_),
        "says_side": says_side(table.text),
        "digests": string_array([digest(table.image_id, table.text)]),
        "image_id": table.image_id,
        "tokens": tokens,
        "length": length,
        "image_ids": np.fromiter(by_image, np.int64, len(by_image)),
        "references": np.frombuffer(msgspec.json.encode(list(by_image.values())), np.uint8),
        "n_dropped": np.array(table.n_dropped),
        **pack_names(table.id_names),
    }


def _unpack(arrays: Arrays) -> CaptionData:
    return CaptionData(
        image_id=arrays["image_id"],
        tokens=arrays["tokens"],
        length=arrays["length"],
        references=msgspec.json.decode(arrays["references"].tobytes(), type=list[list[str]]),
        image_ids=arrays["image_ids"],
        is_cut=arrays["is_cut"],
        says_side=arrays["says_side"],
        digests={"captions": strings_of(arrays["digests"])[0]},
        id_names=unpack_names(arrays),
        n_dropped=int(arrays["n_dropped"]),
        left_out=unpack_left_out(arrays),
    )

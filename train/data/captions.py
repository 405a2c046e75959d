"""Caption data for training: JSON files to integer arrays, kept in the cache folder."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

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
from .digests import digest
from .vocabulary import build_vocabulary

FORMAT_VERSION = 3  # of the cached arrays; raise it when the same files would give others


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
    ``n_cut`` captions were cut to the greatest length. ``digests``: that of the captions as
    written. ``id_names``: the image ids that are no numbers, by the number that stands for each.
    """

    image_id: NDArray[np.int64]
    tokens: NDArray[np.int32]
    length: NDArray[np.int32]
    references: list[list[str]]
    image_ids: NDArray[np.int64]
    n_cut: int = 0
    digests: dict[str, str] = field(default_factory=dict)
    id_names: dict[int, str] = field(default_factory=dict)


def load_train_val(
    dataset: Dataset, options: CaptionOptions
) -> tuple[CaptionData, CaptionData, list[str]]:
    """The training and the validation split, and the words, which come from training alone.

    Raises ``InputError`` when a file is missing or does not fit; see ``read_captions``.
    """
    dataset.captions_path("val")  # training is scored on it, so say at once if it is missing
    file = dataset.source(dataset.captions_path("train"))
    key = [FORMAT_VERSION, asdict(options), file.sha256]

    def build() -> Arrays:
        table = read_captions(file, "train")
        tokens = tokenize_all(table.text)
        vocabulary = build_vocabulary(tokens, CAPTION_SPECIALS, options.min_word_count, file)
        arrays = _pack(table, tokens, vocabulary, options.max_length)
        return arrays | {"words": string_array(vocabulary.words)}

    arrays = cached_arrays("captions-train", key, build)
    words = strings_of(arrays["words"])
    return _unpack(arrays), load_split(dataset, "val", words, options.max_length), words


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


def _pack(
    table: CaptionTable, texts_tokens: list[list[str]], vocabulary: Vocabulary, max_length: int
) -> Arrays:
    tokens, length = vocabulary.encode_captions(texts_tokens, max_length)
    by_image = table.by_image()
    return {
        "n_cut": np.array(sum(len(words) > max_length for words in texts_tokens)),
        "digests": string_array([digest(table.image_id, table.text)]),
        "image_id": table.image_id,
        "tokens": tokens,
        "length": length,
        "image_ids": np.fromiter(by_image, np.int64, len(by_image)),
        "references": np.frombuffer(msgspec.json.encode(list(by_image.values())), np.uint8),
        **pack_names(table.id_names),
    }


def _unpack(arrays: Arrays) -> CaptionData:
    return CaptionData(
        image_id=arrays["image_id"],
        tokens=arrays["tokens"],
        length=arrays["length"],
        references=msgspec.json.decode(arrays["references"].tobytes(), type=list[list[str]]),
        image_ids=arrays["image_ids"],
        n_cut=int(arrays["n_cut"]),
        digests={"captions": strings_of(arrays["digests"])[0]},
        id_names=unpack_names(arrays),
    )

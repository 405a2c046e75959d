"""Made-up data of VQA v2's size and shape: questions, soft targets, captions and features.

Nothing is read from a disk but the features, which lie in real feature files: the training classes
cannot tell them from those of a real set.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from frostgrid.featurize.file.checksums import SHORT_COLUMNS, pooled_crc32, row_crc32
from frostgrid.featurize.file.layout import DONE, FORMAT, IDENTITY, VERSION
from frostgrid.featurize.file.reader import FeatureFile, open_features
from frostgrid.featurize.file.writer import RowWriter, create_file
from frostgrid.train.data.captions import CaptionData
from frostgrid.train.data.vqa import VqaData
from frostgrid.train.data.vqa_targets import SoftTargets
from frostgrid.train.features.split import SplitFeatures
from numpy.typing import NDArray

TRAIN_IMAGES, VAL_IMAGES = 82_783, 40_504
TRAIN_QUESTIONS, VAL_QUESTIONS = 443_757, 214_354
N_ANSWERS, N_WORDS, N_CAPTION_WORDS = 3_129, 12_000, 9_490
CAPTIONS_PER_IMAGE, MAX_CAPTION = 5, 22
PEOPLE = 10
# Questions of 3 to 14 words, in percent.
LENGTH_SHARE = {
    3: 3,
    4: 13,
    5: 22,
    6: 21,
    7: 15,
    8: 10,
    9: 6,
    10: 4,
    11: 2.5,
    12: 1.5,
    13: 1,
    14: 1,
}
# Questions begin in few ways: Zipf's exponent of the word at each place, steep at first.
PLACE_EXPONENT = [2.0, 1.8, 1.5, 1.3] + [1.1] * 20
POOL_IMAGES = 64  # different images; the others are these with their cells moved


@dataclass(frozen=True)
class Size:
    """How many images and questions the splits have."""

    train_images: int
    val_images: int
    train_questions: int
    val_questions: int

    @staticmethod
    def of(fraction: float) -> "Size":
        full = (TRAIN_IMAGES, VAL_IMAGES, TRAIN_QUESTIONS, VAL_QUESTIONS)
        return Size(*(max(1, round(n * fraction)) for n in full))


def zipf_draws(
    rng: np.random.Generator, n_kinds: int, exponent: float, n: int
) -> NDArray[np.int64]:
    """Numbers below ``n_kinds``, the smaller the more frequent."""
    edges = np.cumsum(np.arange(1, n_kinds + 1, dtype=np.float64) ** -exponent)
    return np.searchsorted(edges, rng.random(n) * edges[-1]).clip(max=n_kinds - 1)


def make_tokens(
    rng: np.random.Generator, length: NDArray[np.int32], n_words: int, first_word: int
) -> NDArray[np.int32]:
    """Words from ``first_word`` on, int32 ``[Q, T]``, padded behind with 0."""
    tokens = np.zeros((len(length), int(length.max())), np.int32)
    for place in range(tokens.shape[1]):
        rows = np.flatnonzero(length > place)
        drawn = zipf_draws(rng, n_words - first_word, PLACE_EXPONENT[place], len(rows))
        tokens[rows, place] = first_word + drawn
    return tokens


def make_targets(rng: np.random.Generator, n: int) -> SoftTargets:
    """Ten people's answers, agreeing as often as people do; a tenth is not in the list."""
    true = zipf_draws(rng, N_ANSWERS, 1.1, n)
    agree = rng.random((n, PEOPLE)) < rng.beta(2, 0.8, (n, 1))
    given = np.where(
        agree, true[:, None], zipf_draws(rng, N_ANSWERS, 1.1, n * PEOPLE).reshape(n, -1)
    )
    listed = rng.random((n, PEOPLE)) < 0.9
    key = (np.arange(n)[:, None] * N_ANSWERS + given)[listed]
    key, count = np.unique(key, return_counts=True)
    question, answer = np.divmod(key, N_ANSWERS)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(question, minlength=n))])
    commonest = np.where(np.diff(indptr) > 0, true, -1)
    return SoftTargets(
        indptr=indptr.astype(np.int64),
        answer=answer.astype(np.int32),
        score=np.minimum(1, 0.3 * count).astype(np.float32),
        count=count.astype(np.float32),
        commonest=commonest.astype(np.int32),
    )


def make_questions(n_images: int, n_questions: int, seed: int) -> VqaData:
    """Questions on images 0 to ``n_images``; at least 3 an image where there are so many."""
    rng = np.random.default_rng(seed)
    base = min(3, n_questions // n_images)
    liking = rng.gamma(1.5, size=n_images)
    more = rng.choice(n_images, n_questions - base * n_images, p=liking / liking.sum())
    image_id = np.sort(np.concatenate([np.repeat(np.arange(n_images), base), more]))
    share = np.array(list(LENGTH_SHARE.values()))
    length = rng.choice(list(LENGTH_SHARE), n_questions, p=share / share.sum()).astype(np.int32)
    return VqaData(
        question_id=np.arange(n_questions, dtype=np.int64),
        image_id=image_id.astype(np.int64),
        tokens=make_tokens(rng, length, N_WORDS, 2),
        length=length,
        targets=make_targets(rng, n_questions),
    )


def make_captions(n_images: int, seed: int) -> CaptionData:
    """Five captions an image, about 10.5 words each, in COCO's vocabulary."""
    rng = np.random.default_rng(seed)
    n = n_images * CAPTIONS_PER_IMAGE
    length = (2 + 8 + rng.poisson(2.5, n)).clip(max=MAX_CAPTION).astype(np.int32)
    tokens = make_tokens(rng, length, N_CAPTION_WORDS, 4)
    tokens[:, 0] = 2
    tokens[np.arange(n), length - 1] = 3
    ids = np.arange(n_images, dtype=np.int64)
    references = [["made up"] * CAPTIONS_PER_IMAGE] * n_images
    return CaptionData(np.repeat(ids, CAPTIONS_PER_IMAGE), tokens, length, references, ids)


def make_cells(rng: np.random.Generator, n_images: int, channels: int) -> NDArray[np.float16]:
    """Cells ``[N, 196, D]`` like a ResNet's last: none negative, a quarter zeros."""
    level = rng.gamma(2.0, 0.2, channels)
    cells = rng.standard_normal((n_images, 196, channels), np.float32) * 0.6 + level
    return np.maximum(cells, 0).astype(np.float16)


def write_features(path: Path, n_images: int, channels: int, with_grid: bool, seed: int) -> None:
    """Write a feature file of images 0 to ``n_images``.

    Without the grid its place in the file stays a hole, which takes no room on the disk: enough
    for heads that read ``pooled`` alone.
    """
    rng = np.random.default_rng(seed)
    pool = make_cells(rng, min(POOL_IMAGES, n_images), channels)
    about = dict.fromkeys(IDENTITY, "made up") | {"channels": channels, "dtype": "float16"}
    about |= {"format": FORMAT, "version": VERSION}
    path.unlink(missing_ok=True)
    create_file(path, about, np.arange(n_images), ["made-up.jpg"] * n_images, reserve=with_grid)
    mean, spread = pool.mean((0, 1), np.float32), pool.mean(1, np.float32).std(0)
    pooled = mean + 8 * spread * rng.standard_normal((n_images, channels), np.float32)
    short = {name: np.zeros(n_images, np.int64) for name in SHORT_COLUMNS}
    short |= {"image_id": np.arange(n_images), "status": np.full(n_images, DONE)}
    with RowWriter(path) as writer:
        for row in range(n_images) if with_grid else ():
            cells = np.roll(pool[row % len(pool)], rng.integers(196), axis=0)
            writer.write("grid", np.array([row]), cells[None])
            short["crc32"][row] = zlib.crc32(cells.data)
        columns = {"pooled": np.maximum(pooled, 0).astype(np.float16)}
        columns |= short | {"pooled_crc32": pooled_crc32(columns["pooled"], None)}
        columns["row_crc32"] = row_crc32(columns)
        del columns["image_id"]
        for name, values in columns.items():
            writer.write(name, np.arange(n_images), values)
        writer.sync()


def open_split(path: Path, kind: str) -> SplitFeatures:
    """The features of a file, as training reads them."""
    file: FeatureFile = open_features(path)
    return SplitFeatures([file], kind)

"""Word vectors that others trained: GloVe's text format, or safetensors."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ...errors import InputError

Vectors = dict[str, NDArray[np.float32]]

WORDS, VECTORS = "words", "vectors"  # of a safetensors file: a metadatum, and a tensor


def read_width(path: Path) -> int:
    """How many numbers each vector of a file has; raises ``InputError`` for other files."""
    return next(read_all(path))[1]


def read_vectors(path: Path, wanted: Collection[str]) -> Vectors:
    """The vectors of the wanted words that a file has, float32 ``[width]``.

    The first line of a word counts. Raises ``InputError`` for vectors that differ in width or hold
    what is no finite number.
    """
    looked_for = frozenset(wanted)
    found: Vectors = {}
    for where, width, word, numbers in read_all(path):
        if word in looked_for and word not in found:
            found[word] = parse(path, where, width, numbers)
    return found


def read_all(path: Path) -> Iterator[tuple[str, int, str, Any]]:
    """Of every vector: where it stands, the width of the first, its word, and its numbers."""
    try:
        if path.suffix == ".safetensors":
            yield from of_tensors(path)
            return
        with open(path, "rb") as file:
            yield from of_lines(path, file)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); name a file of word vectors."
        ) from error


def of_lines(path: Path, file: BinaryIO) -> Iterator[tuple[str, int, str, Any]]:
    """Lines "word 0.1 0.2 …", with or without word2vec's first line of two counts."""
    width = 0
    for number, line in enumerate(file, 1):
        parts = line.split()
        if number == 1 and len(parts) == 2 and all(part.isdigit() for part in parts):
            continue
        if not width:
            width = len(parts) - 1
            if width < 1:
                raise not_vectors(path, f"line {number} is no word with numbers behind it")
        # Some words of GloVe's largest file hold spaces.
        split = max(1, len(parts) - width) if not is_number(parts[1:2]) else 1
        word = b" ".join(parts[:split]).decode("utf-8", "replace")
        yield f"line {number}", width, word, parts[split:]
    if not width:
        raise not_vectors(path, "it is empty")


def is_number(part: list[bytes]) -> bool:
    """Whether a list's item is read as a number."""
    try:
        float(part[0])
    except (IndexError, ValueError):
        return False
    return True


def of_tensors(path: Path) -> Iterator[tuple[str, int, str, Any]]:
    """The rows of the tensor ``vectors`` ``[n, width]``, whose words are a JSON list."""
    try:
        with safe_open(path, "np") as file:
            words = json.loads((file.metadata() or {})[WORDS])
            vectors = file.get_tensor(VECTORS)
    except (SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise not_vectors(path, f"{error}") from error
    if vectors.ndim != 2 or not isinstance(words, list) or len(words) != len(vectors):
        raise not_vectors(path, f"vectors of shape {vectors.shape} do not fit its words")
    for row, (word, vector) in enumerate(zip(words, vectors, strict=True)):
        yield f"row {row}", vectors.shape[1], str(word), vector


def parse(path: Path, where: str, width: int, numbers: Any) -> NDArray[np.float32]:
    """A word's numbers; raises ``InputError`` if they are none, or not as many."""
    try:
        vector = np.array(numbers, np.float32)
    except ValueError as error:
        raise not_vectors(path, f"{where}: {error}") from error
    if len(vector) != width or not np.isfinite(vector).all():
        raise not_vectors(
            path, f"{where} holds {len(vector)} numbers, or infinite ones, and the first {width}"
        )
    return vector


def not_vectors(path: Path, reason: str) -> InputError:
    """The error for a file that is something else, or damaged."""
    return InputError(
        f"{path}: no word vectors ({reason}); name a text file with a word and its numbers a line, "
        f"as GloVe's are, or a .safetensors with a tensor {VECTORS!r} and its words as JSON in the "
        f"metadatum {WORDS!r}."
    )

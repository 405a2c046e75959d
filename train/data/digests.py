"""Digests of what a run is trained and validated on, which do not depend on where files lie."""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..features.split import SplitFeatures


def digest(*parts: NDArray[Any] | Sequence[str]) -> str:
    """The sha256, in hex, of arrays and lists of strings."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            total.update(f"{part.dtype} {part.shape} ".encode() + part.tobytes())
        else:
            strings = msgspec.json.encode(part)
            total.update(f"strings {len(strings)} ".encode() + strings)
    return total.hexdigest()


def features_digest(features: SplitFeatures, rows: NDArray[np.int64]) -> str:
    """Of these rows, in the file's order: their image ids and the checksums of their bytes."""
    unique = np.unique(rows)
    columns = [
        np.concatenate([getattr(file, name) for file in features.files])[unique]
        for name in ("image_id", "crc32", "pooled_crc32")
    ]
    return digest(*columns)


def name_changes(before: dict[str, str], now: dict[str, str]) -> str:
    """What differs between two runs' digests, in words; "" where nothing does.

    Digests that only one of them has say nothing.
    """
    changed = [name for name in before if name in now and now[name] != before[name]]
    spelled = {"train": "training ", "val": "validation "}
    words = []
    for name in changed:
        split, _, what = name.rpartition("_")
        words.append(f"the {spelled.get(split, '')}{what}")
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))

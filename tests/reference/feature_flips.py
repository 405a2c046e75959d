"""Random bits of a feature file, flipped, and what becomes of each: for a process of its own."""

import random
from pathlib import Path
from typing import Any

import numpy as np
from frostgrid.errors import InputError
from frostgrid.featurize.file.checksums import RowChecker
from frostgrid.featurize.file.layout import DONE, TO_DO
from frostgrid.featurize.file.reader import FeatureFile, open_features

COLUMNS = ("grid", "pooled", "crc32", "pooled_crc32", "source_bytes", "source_crc32")


def flip(path: Path, position: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1 << bit]))


def use(features: FeatureFile) -> list[Any]:
    """What training takes from each row, checked as training checks it; the attributes last."""
    done = features.status == DONE
    for kind in ("grid", "pooled"):
        checker = RowChecker(features, kind)
        checker.check(checker.unchecked(np.flatnonzero(done)))
    rows: list[Any] = []
    for row in range(features.n_images):
        values = [features.columns[name][row].tobytes() for name in COLUMNS if done[row]]
        about = (features.image_id[row], features.file_name[row], features.reason(row))
        rows.append((features.status[row], *about, *values))
    return [*rows, features.provenance]


def outcome(path: Path, expected: list[Any]) -> str:
    """What becomes of a flipped file: refused, harmless, or in words what is wrong."""
    try:
        features = open_features(path)
        if features.damaged.any():
            return "refused"
        found = use(features)
    except InputError as error:
        return "refused" if "\n" not in str(error) else f"more than a line: {error}"
    if found[-1] != expected[-1] or len(found) != len(expected):
        return "silently other attributes or rows"
    differs = [row for row in range(len(found) - 1) if found[row] != expected[row]]
    # A row that says it is to do is computed again.
    wrong = [row for row in differs if found[row][0] != TO_DO]
    return f"silently other rows {wrong}" if wrong else "harmless"


def flip_many(path: Path, n_flips: int, answer: Any) -> None:
    """Count what becomes of random flips, half of them outside the rows' features."""
    draw, data = random.Random(7), path.read_bytes()
    features = open_features(path)
    grid = features.structure.columns["grid"]
    assert grid.offset is not None
    expected, found = use(features), {"refused": 0, "harmless": 0}
    for number in range(n_flips):
        position = draw.randrange(len(data))
        while number % 2 and grid.offset <= position < grid.offset + grid.n_bytes:
            position = draw.randrange(len(data))
        bit = draw.randrange(8)
        path.write_bytes(data)  # the copy that is mapped stays as it is
        flip(path, position, bit)
        end = outcome(path, expected)
        if end not in found:
            answer.put(f"bit {bit} of byte {position}: {end}")
            return
        found[end] += 1
    answer.put(found)

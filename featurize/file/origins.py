"""What a feature file says of the data sets that its rows were made for."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .reader import FeatureFile


@dataclass(frozen=True)
class Origin:
    """What a feature file says of some rows: the data set and the split they were made for.

    ``data_digest`` is that of the data set's stated images, "" in files that do not record it;
    ``split`` is "" for a plain folder; ``folder`` is the name of the folder that file names start
    from.
    """

    rows: slice
    data: str
    split: str
    data_digest: str
    folder: str


def origins_of(file: FeatureFile) -> Iterator[Origin]:
    """The origins of a file's rows: one, or one for each file that it was joined from."""
    parts = json.loads(file.provenance.get("origins", "[]")) or [file.provenance]
    first = 0
    for part in parts:
        n_images = int(part.get("images", file.n_images))
        yield Origin(
            slice(first, first + n_images),
            str(part.get("data", "")),
            str(part.get("split", "")),
            str(part.get("data_digest", "")),
            Path(str(part.get("image_root", ""))).name,
        )
        first += n_images


def join_origins(parts: list[FeatureFile]) -> dict[str, Any]:
    """What a joined file says of its origin: per part, and as a whole what all have in common."""
    names = ("data", "split", "image_root", "images_digest", "data_digest")
    each = [
        {"images": p.n_images} | {name: p.provenance.get(name, "") for name in names} for p in parts
    ]
    common = {name: each[0][name] for name in names if len({o[name] for o in each}) == 1}
    return {name: common.get(name, "") for name in names} | {"origins": json.dumps(each)}

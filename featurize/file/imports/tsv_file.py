"""bottom-up-attention's ``.tsv``: an image a line, its boxes' features as base64 of float32."""

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ....errors import InputError
from .source import LARGEST_VALUES, Array, Item, Source

# The fields, in order: of bottom-up-attention itself, and of LXMERT's version.
FIELDS = (
    ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features"),
    (
        *("img_id", "img_h", "img_w", "objects_id", "objects_conf", "attrs_id", "attrs_conf"),
        *("num_boxes", "boxes", "features"),
    ),
)
LONGEST_LINE = 1 << 28  # bytes; 100 boxes of 2048 channels take a megabyte


class Line(NamedTuple):
    """Where a line stands: file, number from 1, offset."""

    path: Path
    number: int
    offset: int

    def __str__(self) -> str:
        return f"{self.path}: line {self.number}"


def is_tsv(path: Path) -> bool:
    """Whether a file begins as such a file does."""
    with path.open("rb") as file:
        start = file.read(1 << 12).split(b"\t")
    sizes = start[1:3]
    return len(start) > 4 and all(size.isdigit() for size in sizes)


class TsvFile(Source):
    """One file, or the several that a set comes in; boxes are cells without a grid."""

    kind = "bottom-up"

    def __init__(self, paths: list[Path]) -> None:
        self.lines: list[Line] = []
        self.items: list[Item] = []
        for path in paths:
            for line, fields in read_lines(path):
                self.lines.append(line)
                self.items.append(parse_item(line, fields))
        self.words = "bottom-up-attention's .tsv, boxes without a grid"

    def read(self, index: int) -> Array:
        """See :class:`Source`."""
        line, item = self.lines[index], self.items[index]
        with line.path.open("rb") as file:
            file.seek(line.offset)
            features = split_line(line, file.readline(LONGEST_LINE))["features"]
        try:
            data = base64.b64decode(features, validate=True)
            return np.frombuffer(data, "<f4").reshape(*item.cells, item.channels)
        except (binascii.Error, ValueError) as error:
            raise InputError(f"{line}: features are no base64 of floats ({error}).") from error


def read_lines(path: Path) -> Iterator[tuple[Line, dict[str, bytes]]]:
    """Each line with its fields; none is kept."""
    with path.open("rb") as file:
        offset = 0
        for number, data in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), 1):
            line = Line(path, number, offset)
            offset += len(data)
            if data.strip():
                yield line, split_line(line, data)


def split_line(line: Line, data: bytes) -> dict[str, bytes]:
    """The fields of a line by name."""
    values = data.rstrip(b"\r\n").split(b"\t")
    for names in FIELDS:
        if len(names) == len(values):
            return dict(zip(names, values, strict=True))
    raise InputError(
        f"{line} has {len(values)} fields; expected {' or '.join(str(len(f)) for f in FIELDS)} "
        f"({', '.join(FIELDS[0])}); the file may be cut off, so fetch it again."
    )


def parse_item(line: Line, fields: dict[str, bytes]) -> Item:
    """A line's image, from its short fields and the length of its features."""
    name = (fields.get("image_id") or fields.get("img_id") or b"").decode(errors="replace").strip()
    n_boxes, text = fields["num_boxes"].strip(), fields["features"].strip()
    n_bytes = len(text) // 4 * 3 - text[-2:].count(b"=")
    if not n_boxes.isdigit() or not 0 < int(n_boxes) <= LARGEST_VALUES:
        raise InputError(f"{line}: num_boxes is {n_boxes.decode(errors='replace')[:20]!r}.")
    channels, rest = divmod(n_bytes, 4 * int(n_boxes))
    if len(text) % 4 or rest or not channels:
        raise InputError(
            f"{line} (image {name}): {n_bytes:,} bytes of features are no whole number of floats "
            f"for each of {int(n_boxes)} boxes; the file may be cut off, so fetch it again."
        )
    return Item(name, int(name) if name.isdigit() else None, (int(n_boxes),), channels)

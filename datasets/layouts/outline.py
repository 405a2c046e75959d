"""What a file holds, as far as its beginning tells: its shape, its keys and its first entries."""

import codecs
import csv
import io
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Literal

from ...errors import InputError
from ..formats import GZIP_MAGIC, SourceFile, read_bytes, unpack

# The first entry of a list ends before here, but for strange ones.
HEAD_BYTES = 1 << 16
MOST_HEAD_BYTES = 1 << 22
DELIMITERS = ",;\t|"
BLOCK_BYTES = 1 << 23
TOKEN_LINE = re.compile(r"[^\t]+\.\w+#\d+\t")

Shape = Literal["object", "list", "lines", "table", "tokens", "unknown"]
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Outline:
    """A file's shape and beginning.

    ``keys``: an object's, as far as they were seen, or a table's columns; ``first``: the first
    entry of a list or of JSON lines, or an object's first value; ``entries``: by key of an object,
    the first entry of the list that stands there (None of an empty one); ``labels``: the short
    strings in an object, such as "data_subtype".
    """

    shape: Shape = "unknown"
    keys: tuple[str, ...] = ()
    first: Any = None
    entries: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> str:
        """What was found, in words."""
        if self.shape == "object":
            inner = [f'"{key}" of {_entry(entry)}' for key, entry in self.entries.items()]
            return f"an object with {_names(self.keys)}" + (f", {', '.join(inner)}" * bool(inner))
        if self.shape == "list":
            return f"a list of {_entry(self.first)}"
        if self.shape == "lines":
            return f"JSON lines of {_entry(self.first)}"
        if self.shape == "table":
            return f"a table with the columns {', '.join(self.keys)}"
        return "neither JSON nor a table with named columns"


def _entry(value: Any) -> str:
    if isinstance(value, dict):
        return f"objects with {_names(tuple(value))}"
    return "nothing" if value is None else f"values such as {json.dumps(value)[:40]}"


def _names(keys: tuple[str, ...]) -> str:
    shown = ", ".join(keys[:8]) + (", …" if len(keys) > 8 else "")
    return f"the keys {shown}" if keys else "no keys"


def outline_of(file: Path | SourceFile) -> Outline:
    """The outline of a file; of a long one little more than the beginning is read.

    A file that cannot be read or is damaged has an unknown shape; whoever reads it says why.
    """
    if isinstance(file, SourceFile):
        with suppress(InputError):
            return _outline(io.BytesIO(unpack(file.path, file.data)))
        return Outline()
    with suppress(OSError, InputError):
        status = file.stat()
        return _outline_of_path(file, status.st_size, status.st_mtime_ns)
    return Outline()


@lru_cache(maxsize=256)
def _outline_of_path(path: Path, size: int, _: int) -> Outline:
    if not path.is_file() or not size:
        return Outline()
    with path.open("rb") as file:
        if file.read(2) != GZIP_MAGIC:
            return _outline(file)
    return _outline(io.BytesIO(read_bytes(path)))


def _outline(file: BinaryIO) -> Outline:
    for n_bytes in (HEAD_BYTES, MOST_HEAD_BYTES):
        file.seek(0)
        data = file.read(n_bytes)
        head = data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "ignore")
        found = _outline_head(head)
        if found.shape != "unknown" or len(data) < n_bytes:
            break
    images = found.entries.get("images")
    if images is not None and "annotations" not in found.entries and len(data) == n_bytes:
        # COCO's files name all images first.
        annotation = _search(file, b"annotations")
        if annotation is not None:
            entries = {**found.entries, "annotations": annotation}
            found = replace(found, keys=(*found.keys, "annotations"), entries=entries)
    return found


def _outline_head(head: str) -> Outline:
    start = len(head) - len(head.lstrip())
    match head[start : start + 1]:
        case "[":
            return _outline_list(head, start + 1)
        case "{":
            return _outline_lines(head) or _outline_object(head, start + 1)
        case "":
            return Outline()
    return _outline_text(head)


def _outline_list(head: str, position: int) -> Outline:
    with suppress(ValueError, RecursionError):
        position = _skip(head, position)
        if head[position] == "]":
            return Outline("list")
        return Outline("list", first=_DECODER.raw_decode(head, position)[0])
    return Outline()


def _outline_lines(head: str) -> Outline | None:
    """JSON lines, of which there are two at least."""
    first, end, rest = head.lstrip().partition("\n")
    if end and rest.lstrip().startswith("{"):
        with suppress(ValueError, RecursionError):
            entry = json.loads(first)
            return Outline("lines", keys=tuple(entry), first=entry)
    return None


def _outline_object(head: str, position: int) -> Outline:
    entries: dict[str, Any] = {}
    labels: dict[str, str] = {}
    keys: list[str] = []
    first: Any = None
    with suppress(ValueError, RecursionError):
        while head[position := _skip(head, position)] == '"':
            key, position = _DECODER.raw_decode(head, position)
            position = _skip(head, _skip(head, position) + 1)  # past the colon
            keys.append(key)
            if head[position] == "[":
                begun = _outline_list(head, position + 1)
                if begun.shape == "list":
                    entries[key] = begun.first
            value, position = _DECODER.raw_decode(head, position)
            first = value if len(keys) == 1 else first
            if isinstance(value, str):
                labels[key] = value
            position = _skip(head, position)
            if head[position] != ",":
                break
            position += 1
    if not keys:
        return Outline("object") if head[position:].strip() == "}" else Outline()
    first = first if first is not None else entries.get(keys[0])
    return Outline("object", tuple(keys), first, entries, labels)


def _search(file: BinaryIO, key: bytes) -> Any:
    """The first object of the list under a key, wherever in the file."""
    pattern = re.compile(rb'"' + key + rb'"\s*:\s*\[\s*(?=\{)')
    file.seek(0)
    block = b""
    while more := file.read(BLOCK_BYTES):
        block = block[-HEAD_BYTES:] + more
        if match := pattern.search(block):
            text = (block + file.read(HEAD_BYTES))[match.end() :].decode("utf-8", "ignore")
            with suppress(ValueError, RecursionError):
                return _DECODER.raw_decode(text)[0]
            return None
    return None


def _outline_text(head: str) -> Outline:
    line = head.lstrip().partition("\n")[0].strip()
    if TOKEN_LINE.match(line):
        return Outline("tokens")
    delimiter = max(DELIMITERS, key=line.count)
    if delimiter not in line or len(line) > 1000:
        return Outline()
    names = next(csv.reader([line], delimiter=delimiter))
    return Outline("table", keys=tuple(name.strip() for name in names))


def _skip(text: str, position: int) -> int:
    """The position of the next character that is no white space; ``ValueError`` at the end."""
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    if position >= len(text):
        raise ValueError("the text ends here")
    return position

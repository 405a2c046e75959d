"""Cut a long JSON file into pieces that can be decoded one after the other, or on several cores.

The file is a list of objects, or an object that holds such a list. Cuts are looked for in the
bytes, between ``}`` and ``{``, without parsing what lies before. That is sound: if every piece is a
valid list once brackets are put around it, then so is the whole, and it is all of them together. A
cut in the wrong place, inside a string or a nested list, makes its piece invalid.
"""

import json
import mmap
import re
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import msgspec

R = TypeVar("R")
T = TypeVar("T")

# Large enough to decode at full speed, small enough to stay in a core's cache.
PIECE_BYTES = 1 << 17
# The last piece is decoded together with what follows the list.
TAIL_BYTES = 1 << 12
MOST_TAIL_BYTES = 1 << 22

FIRST_KEY = re.compile(rb'\s*\{\s*("[^"\\]*")')


class IrregularFile(Exception):
    """The file does not look as the official tools write it; it may still be right."""


class JsonList(NamedTuple):
    """A list of objects in a JSON text: byte positions of its parts, and where it may be cut.

    The list's first object starts at or after ``first``. The last cut starts at ``stop`` and ends
    at ``tail``: from there on the text holds some last objects, the end of the list and what
    follows. Without any cut both are ``first``.
    """

    text: bytes | mmap.mmap
    key: str | None
    first: int
    stop: int
    tail: int
    cut: re.Pattern[bytes]

    def next_cut(self, position: int) -> tuple[int, int]:
        """Start and end of the first cut from ``position`` on; of the last cut if there is none."""
        found = self.cut.search(self.text, position) if position < self.stop else None
        return cut_span(found) if found else (self.stop, self.tail)


def cut_span(cut: re.Match[bytes]) -> tuple[int, int]:
    """Where the object before the cut ends, and where the one after it starts."""
    return cut.start() + 1, cut.end()


def open_list(text: bytes | mmap.mmap, key: str | None) -> JsonList:
    """Find the list in a JSON text: the whole of it, or what ``key`` holds in the outermost object.

    Raises ``IrregularFile`` for anything but a list of objects that stands where it should.
    """
    opening = rb"\s*\[" if key is None else b'"' + key.encode() + rb'"\s*:\s*\['
    found = re.compile(opening).search(text)
    if found is None or (key is None and found.start() != 0):
        raise IrregularFile
    first = found.end()
    if key is not None:
        check_head(text[:first])
    first_key = FIRST_KEY.match(text, first)
    if first_key is None:
        raise IrregularFile
    cut = re.compile(rb"\}\s*,\s*(?=\{\s*" + re.escape(first_key[1]) + rb"\s*:)")
    return JsonList(text, key, first, *find_last_cut(text, first, cut), cut)


def check_head(head: bytes) -> None:
    """Make sure that the text up to the opening bracket of the list leaves just that list open."""
    try:
        json.loads(head + b"]}")
    except (ValueError, RecursionError) as error:
        raise IrregularFile from error


def find_last_cut(text: bytes | mmap.mmap, first: int, cut: re.Pattern[bytes]) -> tuple[int, int]:
    """A cut near the end of the text, or an empty one at ``first`` if there is none at all."""
    n_bytes = TAIL_BYTES
    while True:
        position = max(first, len(text) - n_bytes)
        found = cut.search(text, position)
        if found or position == first:
            return cut_span(found) if found else (first, first)
        n_bytes *= 8


def decode_range(
    source: JsonList, start: int, stop: int, record: type[R], *, strict: bool = True
) -> Iterator[list[R]]:
    """Decode the objects from one cut's end to another's start, some at a time.

    Unless ``strict``, "7" and 7.0 are taken for 7.
    """
    decoder = msgspec.json.Decoder(list[record], strict=strict)  # type: ignore[valid-type]
    while start < stop:
        end, after = source.next_cut(min(start + PIECE_BYTES, stop - 1))
        yield decode_strictly(decoder, b"[" + source.text[start:end] + b"]")
        start = after


def decode_tail(source: JsonList, record: type[R], *, strict: bool = True) -> list[R]:
    """Decode the last objects, and check what follows the list; ``strict`` as above."""
    if source.key is None:
        decoder = msgspec.json.Decoder(list[record], strict=strict)  # type: ignore[valid-type]
        return decode_strictly(decoder, b"[" + source.text[source.tail :])
    text = json.dumps({source.key: []}).encode()[:-2] + source.text[source.tail :]
    check_last_key(text, source.key)
    whole = msgspec.defstruct("Whole", [(source.key, list[record])])  # type: ignore[valid-type]
    objects: list[R] = getattr(decode_strictly(msgspec.json.Decoder(whole), text), source.key)
    return objects


def check_last_key(text: bytes, key: str) -> None:
    """Make sure that no later list of the same name replaces the one at the start of the text."""
    if len(text) > MOST_TAIL_BYTES:
        raise IrregularFile
    try:
        pairs = json.loads(text, object_pairs_hook=tuple)
    except (ValueError, RecursionError) as error:
        raise IrregularFile from error
    if sum(name == key for name, _ in pairs) != 1:
        raise IrregularFile


def decode_strictly(decoder: msgspec.json.Decoder[T], text: bytes) -> T:
    """Decode, and refuse text that is not UTF-8 even where it is skipped."""
    try:
        if not text.isascii():
            text.decode()
        return decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise IrregularFile from error

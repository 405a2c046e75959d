"""Ids as people write them: 7, "7" and 7.0 are one id, and a name or a hash is an id too."""

import hashlib
import re
from collections.abc import Iterable

Id = int | float | str
# With leading zeros a string is a name: GQA's question "05515938" is not 5515938.
_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]{0,18}))(?:\.0*)?\Z")


def canonical(value: Id) -> int | str:
    """The whole number that an id means, or else the id as a string."""
    if type(value) is int:
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else str(value)
    match = _WHOLE.match(str(value))
    return int(match[1]) if match else str(value)


def number_of(value: Id) -> int:
    """The int64 under which an id stands in arrays and feature files.

    A whole number is itself. Any other string becomes 62 bits of its sha256 above 2**62, so that it
    has the same number in every file and split, and none that people give.
    """
    known = value if type(value) is int else canonical(value)
    if isinstance(known, int):
        return known
    digest = hashlib.sha256(known.encode("utf-8", "surrogatepass")).digest()
    return (1 << 62) | int.from_bytes(digest[:8]) >> 2


def id_names(ids: Iterable[Id]) -> dict[int, str]:
    """Number -> the id as it was written, of those that are not whole numbers."""
    return {
        number_of(value): str(known)
        for value in ids
        if type(value) is not int and isinstance(known := canonical(value), str)
    }

"""Annotations as a table; that of a long file is kept under the hash of the file's content."""

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from ...datasets.cache_folder import cache_folder
from .columns import AnnotationReader
from .file_copy import FileCopy

if TYPE_CHECKING:
    from ...datasets.cache import Arrays
    from .annotation_table import AnnotationTable

KIND = "vqa-references"
# Of what is kept; raise it when that changes, or how answers are normalised. Version 1 could hold
# the numbers of another file.
FORMAT_VERSION = 2


def has_kept_table(n_bytes: int) -> bool:
    """Whether the table of a file of that size is kept."""
    with suppress(OSError):
        return any(cache_folder().glob(f"{KIND}-{n_bytes}-*.npz"))
    return False


def read_table(copy: FileCopy) -> "AnnotationTable":
    """The annotations' table, from the user's cache folder if the same content was read before.

    Raises ``IrregularFile``.
    """
    from ...datasets.cache import cached_arrays  # imports NumPy: the hashing goes on meanwhile
    from .annotation_table import AnnotationTable

    digest, n_bytes = copy.digest()
    if not digest:
        return AnnotationTable.join(copy.name, AnnotationReader(copy).read())
    # Lower case and white space are as this Python's Unicode has them.
    key = [digest, FORMAT_VERSION, list(sys.version_info[:2])]

    built: list[AnnotationTable] = []

    def build() -> "Arrays":
        built.append(AnnotationTable.join(copy.name, AnnotationReader(copy).read()))
        return built[0].arrays()

    arrays = cached_arrays(f"{KIND}-{n_bytes}", key, build)
    copy.release()
    return built[0] if built else AnnotationTable.from_arrays(copy.name, arrays)

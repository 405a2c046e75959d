"""Annotations as a table; that of a long file is kept under the hash of the file's content."""

import hashlib
import mmap
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from .columns import AnnotationReader

if TYPE_CHECKING:
    from ...datasets.cache import Arrays
    from .annotation_table import AnnotationTable

# Of what is kept; raise it when that changes, or how answers are normalised.
FORMAT_VERSION = 1
# From this size on, keeping the table saves more than hashing the file costs.
KEPT_BYTES = 16 << 20


class Digest(Thread):
    """Hashes a file (SHA-256) while other things are done."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.path = path
        self.digest = ""
        self.start()

    def run(self) -> None:
        """Hash; a file that cannot be read has the digest "", and says so where it is read."""
        with (
            suppress(OSError, ValueError),
            self.path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text,
        ):
            # At one go, without the interpreter: taking turns with it would be far slower.
            self.digest = hashlib.sha256(text).hexdigest()

    def result(self) -> str:
        """The digest, once it is known."""
        self.join()
        return self.digest


def start_digest(path: Path) -> Digest | None:
    """Start to hash a file that is long enough."""
    is_long = path.is_file() and path.stat().st_size >= KEPT_BYTES
    return Digest(path) if is_long else None


def read_table(path: Path, digest: Digest | None) -> "AnnotationTable":
    """The annotations' table, from the user's cache folder if the file was read before.

    Raises ``IrregularFile``.
    """
    from ...datasets.cache import cached_arrays  # imports NumPy: the hashing goes on meanwhile
    from .annotation_table import AnnotationTable

    if digest is None or not digest.result():
        return AnnotationTable.join(path, AnnotationReader(path).read())
    # Lower case and white space are as this Python's Unicode has them.
    key = [digest.result(), FORMAT_VERSION, list(sys.version_info[:2])]

    def build() -> "Arrays":
        return AnnotationTable.join(path, AnnotationReader(path).read()).arrays()

    return AnnotationTable.from_arrays(path, cached_arrays("vqa-references", key, build))

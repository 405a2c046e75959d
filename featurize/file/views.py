"""The views of images: as they are, or mirrored; a feature file holds either.

The file of the mirrored images stands beside that of the plain ones, and is named after it.
"""

from pathlib import Path
from typing import Any

from ...errors import InputError
from .layout import IDENTITY_BEFORE, MIRRORED

ENDING = f"-{MIRRORED}"


def mirrored_path(path: Path) -> Path:
    """Where the mirrored images' features are, beside those of the plain ones."""
    return path.with_name(f"{path.stem}{ENDING}{path.suffix}")


def plain_path(path: Path) -> Path:
    """The name of the plain images' file, from that of the mirrored ones'."""
    return path.with_name(f"{path.stem.removesuffix(ENDING)}{path.suffix}")


def has_mirrored_name(path: Path) -> bool:
    """Whether a file is named as one of mirrored images."""
    return path.stem.endswith(ENDING)


def view_of(provenance: dict[str, Any]) -> str:
    """Which view a file with these attributes holds; the plain one if it does not say."""
    return str(provenance.get("view", IDENTITY_BEFORE["view"]))


def check_plain(path: Path, provenance: dict[str, Any]) -> None:
    """Raise ``InputError`` for a file of mirrored images, where those as they are are needed."""
    if view_of(provenance) == MIRRORED:
        raise InputError(
            f"{path}: holds mirrored images, of which `train-head` makes use beside the plain ones "
            f"alone; name the plain ones' file ({plain_path(path).name}), beside which it is found."
        )

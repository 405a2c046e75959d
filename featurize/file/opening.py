"""The one door through which every feature file is opened, whoever made it."""

from pathlib import Path
from typing import Any

from ...errors import InputError
from .hdf5 import HDF5_SIGNATURE, describe_in_child, unreadable
from .layout import FORMAT, GRID_DTYPES, IDENTITY, VERSION, columns_of, grid_of
from .structure import SIGNATURE, Structure, check_fixed_bytes, cut_off, read_user_block


def read_structure(path: Path) -> Structure:
    """Read and check all of a feature file but its rows, in bounded time.

    A file with a user block is read without HDF5, once its bytes match their checksums; an older
    one in a child process with limits. Raises ``InputError`` if it is missing, no feature file of
    this version, damaged or cut off.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; `featurize` writes feature files.")
    with path.open("rb") as file:
        start = file.read(len(SIGNATURE))
    if start == SIGNATURE:
        structure = read_user_block(path)
    elif start.startswith(HDF5_SIGNATURE):
        structure = describe_in_child(path)
    else:
        from .imports.kinds import UNKNOWN, describe_kind

        kind = describe_kind(path)
        if kind.startswith(UNKNOWN):  # it may have been one
            raise unreadable(path, f"it is {kind}")
        raise InputError(
            f"{path}: is {kind}, not a feature file; `featurize` writes these, and `frostgrid "
            "import` makes them of what others extracted."
        )
    check_attributes(path, structure.attributes)
    check_columns(path, structure)
    # An archive is large, and its rows are used only when it is converted: checked there.
    if structure.fixed_crc32 is not None and structure.layout != "archive":
        check_fixed_bytes(path, structure)
    return structure


def check_attributes(path: Path, attributes: dict[str, Any]) -> None:
    """Raise ``InputError`` unless these are the attributes of a feature file of this version."""
    kind, version = attributes.get("format"), attributes.get("version")
    if kind != FORMAT:
        raise InputError(
            f"{path}: is an HDF5 file but not a feature file (its 'format' attribute is {kind!r}, "
            f"not {FORMAT!r}); make one with `featurize`, or of what others extracted with "
            "`frostgrid import`."
        )
    if version != VERSION:
        raise InputError(
            f"{path}: is a feature file of version {version}, this program reads {VERSION}; "
            "extract it again, or use the frostgrid that wrote it."
        )
    for name in IDENTITY:
        if name not in attributes:
            raise incomplete(path, f"has no attribute '{name}'")
    try:
        sizes = (attributes["channels"], *grid_of(attributes))
    except (TypeError, ValueError):
        raise incomplete(path, f"has the attribute 'grid' {attributes['grid']!r}") from None
    if str(attributes["dtype"]) not in GRID_DTYPES or not all(
        isinstance(size, int) and size > 0 for size in sizes
    ):
        raise incomplete(path, f"claims {sizes} channels and cells of {attributes['dtype']!r}")


def check_columns(path: Path, structure: Structure) -> None:
    """Raise ``InputError`` unless every column is there, one row an image, inside the file."""
    n_images, file_bytes = len(structure.file_name), path.stat().st_size
    # Made before there was this column: a file without a user block, maybe a joined file's part.
    may_lack_row_crc32 = structure.fixed_crc32 is None or structure.layout == "joined"
    for column in columns_of(structure.attributes):
        stored = structure.columns.get(column.name)
        if stored is None and column.name == "row_crc32" and may_lack_row_crc32:
            continue
        if stored is None:
            raise incomplete(path, f"has no dataset '{column.name}'")
        shape = (n_images, *column.row_shape)
        if stored.shape != shape or stored.dtype != column.dtype.str:
            raise incomplete(
                path,
                f"has a dataset '{column.name}' of {stored.dtype} {list(stored.shape)}, not "
                f"{column.dtype.str} {list(shape)} for its {n_images} file names",
            )
        if stored.offset is not None and stored.offset + stored.n_bytes > file_bytes:
            raise cut_off(path, file_bytes, stored.offset + stored.n_bytes)


def incomplete(path: Path, what: str) -> InputError:
    """What a file is refused with whose parts do not make up a feature file."""
    return InputError(
        f"{path}: {what}, so it is not a complete feature file; fetch it again or run `featurize` "
        "with --overwrite."
    )

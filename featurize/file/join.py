"""Several feature files as one: HDF5 virtual datasets that refer to the files where they are."""

import json
import os
from pathlib import Path

import h5py
import numpy as np

from ...atomic import atomic_write, sync
from ...errors import InputError
from .hdf5 import hdf5_dtype, new_hdf5, seal
from .layout import Column, columns_of
from .origins import join_origins
from .reader import FeatureFile, open_features
from .writer import check_name


def join_files(paths: list[Path], out: Path) -> FeatureFile:
    """Make ``out`` refer to all images of the feature files ``paths``, in shard order.

    Parts are named relative to ``out``, so that the folder can be moved as a whole. Raises
    ``InputError`` if a part is unfinished or was made with other settings, if two hold the same
    image, or if a shard of the set is missing.
    """
    check_name(out)
    parts = order_shards([open_features(path) for path in paths])
    for part in parts:
        if part.parts != [part]:
            raise InputError(f"{part.path}: is a joined file itself; name its parts instead.")
        if not part.is_complete:
            raise InputError(f"{part.path}: is not finished; run `featurize` on it again first.")
        check_same_make(parts[0], part)
    check_disjoint(parts)
    write_joined(parts, out)
    return open_features(out)


def order_shards(parts: list[FeatureFile]) -> list[FeatureFile]:
    """Shards in their order, other files as given.

    Raises ``InputError`` if the files are some of the shards only.
    """
    shards = [part.provenance.get("shard", "") for part in parts]
    if not any(shards):
        return parts
    by_shard = dict(zip(shards, parts, strict=True))
    of = next(shard for shard in shards if shard).partition("of")[2]
    wanted = [f"{i}of{of}" for i in range(1, int(of) + 1)]
    missing = [shard for shard in wanted if shard not in by_shard]
    if missing or len(parts) != len(wanted):
        raise InputError(
            f"{', '.join(str(part.path) for part in parts)}: are not one complete set; expected "
            f"each of the shards {', '.join(wanted)} once."
        )
    lists = {shard: list_of(by_shard[shard]) for shard in wanted}
    odd = next((shard for shard in wanted if lists[shard] != lists[wanted[0]]), None)
    if odd is not None:
        raise InputError(
            f"{by_shard[odd].path}: is a shard of another list of images than "
            f"{by_shard[wanted[0]].path}; join the shards of one data set and split."
        )
    return [by_shard[shard] for shard in wanted]


def list_of(part: FeatureFile) -> tuple[str, ...]:
    """What tells the list of images that a file is a shard of from other lists."""
    names = ("data", "split", "images_digest")
    return tuple(str(part.provenance.get(name, "")) for name in names)


def check_same_make(first: FeatureFile, other: FeatureFile) -> None:
    """Raise ``InputError`` saying what differs if two files were made with different settings."""
    ours, theirs = first.identity(), other.identity()

    def differs(name: str) -> bool:
        return bool(ours[name] != theirs[name])

    wrong = [f"{name} {theirs[name]}, not {ours[name]}" for name in ours if differs(name)]
    if wrong:
        raise InputError(
            f"{other.path}: differs from {first.path}: {'; '.join(wrong)}; extract it "
            "again with the same settings."
        )


def check_disjoint(parts: list[FeatureFile]) -> None:
    """Raise ``InputError`` naming an image id that two files hold."""
    owner = np.repeat(np.arange(len(parts)), [part.n_images for part in parts])
    ids = np.concatenate([part.image_id for part in parts])
    order = np.argsort(ids, kind="stable")
    twice = np.flatnonzero(np.diff(ids[order]) == 0)
    if len(twice):
        one, two = order[twice[0]], order[twice[0] + 1]
        raise InputError(
            f"{parts[owner[one]].path} and {parts[owner[two]].path}: both hold the image "
            f"{ids[one]}; an id must belong to one image."
        )


def write_joined(parts: list[FeatureFile], out: Path) -> None:
    """Write the file of virtual datasets, atomically."""
    first = parts[0]
    folder = out.resolve().parent
    names = [os.path.relpath(part.path.resolve(), folder) for part in parts]
    counts = [part.n_images for part in parts]
    provenance = {**first.provenance, **join_origins(parts), "shard": ""}
    provenance["parts"] = json.dumps(names)
    file_names = [name for part in parts for name in part.file_name]
    common = set.intersection(*(set(part.structure.columns) for part in parts))
    with atomic_write(out) as temporary:
        with new_hdf5(temporary, provenance, file_names) as file:
            for column in columns_of(first.provenance):
                if column.name in common:
                    add_virtual(file, column, names, counts)
        seal(temporary)
    sync(folder)


def add_virtual(file: h5py.File, column: Column, names: list[str], counts: list[int]) -> None:
    """One column over all the parts."""
    name, dtype = column.name, hdf5_dtype(column)
    layout = h5py.VirtualLayout((sum(counts), *column.row_shape), dtype)
    start = 0
    for part, count in zip(names, counts, strict=True):
        source = h5py.VirtualSource(part, name, (count, *column.row_shape), dtype)
        layout[start : start + count] = source
        start += count
    file.create_virtual_dataset(name, layout)

"""The data files of a folder: which file holds what of which split, and which are not used."""

import os
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...errors import InputError
from ..official_names import JSON_FOLDERS, JSON_NAMES, SPLITS, split_in_name
from .official import OfficialFile, convert
from .outline import outline_of
from .table import Layout, recognise

SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".txt")
# Files of official sets that hold no texts that are read here.
_NO_TEXTS = ("instances_", "person_keypoints_", "stuff_", "panoptic_", "image_info_")
# Where a set comes in several versions, the one that people mean goes first.
# Predictions may have the columns of references.
_RESULTS = "pred"
_SECOND = ("multiplechoice", "_all_", "_pairs")
NAMED_OTHERWISE = 10  # the rank of a file whose name is not official


@dataclass(frozen=True)
class DataFile:
    """An official file, and the user's own that it is or was made of, whose layout has a name.

    ``rank``: of several for one purpose only those of the lowest rank count.
    """

    path: Path
    origin: Path
    layout: Layout | None
    rank: int = 0
    n_lone: int = 0


@dataclass
class DataFiles:
    """By kind and split the files that could serve, the files that do not, and some that cannot."""

    by_use: dict[tuple[str, str], list[DataFile]] = field(default_factory=lambda: defaultdict(list))
    unknown: list[Path] = field(default_factory=list)

    def candidates(self, kind: str, split: str) -> list[DataFile]:
        """The files of the lowest rank for that purpose."""
        found = self.by_use.get((kind, split), [])
        return [file for file in found if file.rank == min(each.rank for each in found)]

    def origins(self) -> set[Path]:
        """The user's files that are used."""
        uses = list(self.by_use)
        return {file.origin for kind, split in uses for file in self.candidates(kind, split)}

    def official(self, path: Path) -> OfficialFile:
        """What is known of one of the official files."""
        for file in (each for found in self.by_use.values() for each in found):
            if file.path == path:
                rule = file.layout.rule if file.layout else "vqa"
                return OfficialFile(path, file.origin, rule, file.n_lone)
        return OfficialFile(path, path)

    def notes(self, root: Path) -> tuple[str, ...]:
        """Which file is read as what, if its name does not say it, and which are not used."""
        uses: dict[DataFile, list[str]] = defaultdict(list)
        for kind, split in self.by_use:
            for file in self.candidates(kind, split):
                if file.layout and (file.rank or not file.layout.kind):
                    named = replace(file, path=file.origin)
                    uses[named].append(f"{split} {kind}")
        notes = [
            f"{file.origin.relative_to(root)} is read as {file.layout.name if file.layout else ''}:"
            f" {', '.join(what)}"
            for file, what in uses.items()
        ]
        used = self.origins()
        known = [file.origin for found in self.by_use.values() for file in found]
        unused = {path for path in (*known, *self.unknown) if path not in used}
        notes += [
            f"{path.relative_to(root)} is not used: it holds {outline_of(path).describe()}"
            for path in sorted(unused)
            if path.suffix != ".txt"
        ]
        return tuple(notes)


def find_data_files(root: Path) -> DataFiles:
    """The data files in a folder and in those of its folders that ``JSON_FOLDERS`` names."""
    files = DataFiles()
    folders, plain = list_folder(root, "")
    for folder in ["", *folders]:
        for name in plain if not folder else list_folder(root, folder)[1]:
            add_file(files, root / folder / name, name.removesuffix(".gz"))
    return files


def list_folder(root: Path, folder: str) -> tuple[list[str], list[str]]:
    """The folders inside that may hold data files, and the data files, without packed twins."""
    folders, names = [], set()
    with os.scandir(root / folder) as entries:
        for entry in entries:
            lower = entry.name.lower()
            if lower.rstrip("0123456789._-") in JSON_FOLDERS and entry.is_dir():
                folders.append(entry.name)
            elif lower.removesuffix(".gz").endswith(SUFFIXES) and entry.is_file():
                names.add(entry.name)
    twins = {f"{name}.gz" for name in names}
    return sorted(folders), sorted(name for name in names - twins if not name.startswith("."))


def add_file(files: DataFiles, path: Path, name: str) -> None:
    """Add one file under all that it can serve for, or as an unknown one."""
    layout = recognise(path)
    official = [
        (use, rank)
        for use, ranks in JSON_NAMES.items()
        for rank, names in enumerate(ranks)
        if name in names
    ]
    if official and (layout is None or layout.kind):
        for (kind, split), rank in official:
            if layout and layout.kind == "images":
                kind = "images"
            files.by_use[kind, split].append(DataFile(path, path, layout, rank))
        return
    if (
        layout is None
        or name.startswith(_NO_TEXTS)
        or ((layout.loose or _RESULTS in name.lower()) and not official)
    ):
        files.unknown.append(path)
        return
    rank = 0 if official else NAMED_OTHERWISE
    rank += any(word in name.lower() for word in _SECOND)
    n_lone = 0
    if layout.kind:
        kind = "captions" if layout.kind == "karpathy" else layout.kind
        splits = SPLITS if layout.kind == "karpathy" else (split_of(path),)
        uses = {(kind, split): path for split in splits}
    else:
        try:
            made = convert(layout, path)
        except InputError:
            if not official:
                raise
            # Whoever reads it as what its name says will say what is wrong.
            for use, rank in official:
                files.by_use[use].append(DataFile(path, path, None, rank))
            return
        uses, n_lone = made.files, made.n_lone
    for use, file in uses.items():
        files.by_use[use].append(DataFile(file, path, layout, rank, n_lone))


def split_of(path: Path) -> str:
    """The split that a file's name tells, or what it says of itself; else train."""
    label = outline_of(path).labels.get("data_subtype", "")
    return split_in_name(path.name) or split_in_name(label) or "train"

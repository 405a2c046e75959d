"""Whether the rows of a feature file are a data set's own images: names, splits and digests."""

from collections import Counter
from functools import cached_property
from shlex import quote

import numpy as np
from numpy.typing import NDArray

from ...datasets.catalog import open_dataset
from ...datasets.dataset import Dataset
from ...datasets.images.name_matching import (
    base_name,
    fold,
    is_renamed,
    is_tail,
    normalize,
    split_of_folders,
    split_of_name,
)
from ...datasets.images.stated_images import StatedImages
from ...errors import InputError
from ...featurize.file.origins import Origin, origins_of
from ...featurize.file.reader import FeatureFile
from .image_sample import compare_images


class ImageCheck:
    """Compares the rows that image ids lead to with what the data set says of these images.

    ``data``: a data set's name or folder. With ``trust_ids`` nothing but the split is compared.
    """

    def __init__(self, data: str, split: str, trust_ids: bool = False) -> None:
        self.data, self.trust_ids = data, trust_ids
        self._split = split
        self._stated_by_others: dict[str, StatedImages] = {}
        self._bases_of_others: dict[str, set[str]] = {}

    @cached_property
    def dataset(self) -> Dataset:
        """The data set, opened when it is first needed."""
        return open_dataset(self.data)

    @cached_property
    def split(self) -> str:
        """The split under the data set's own name for it."""
        return self.dataset.checked_split(self._split)

    @cached_property
    def stated(self) -> StatedImages:
        """The split's images as its JSON files state them."""
        return self.dataset.stated_images(self.split)

    def choose(self, files: list[FeatureFile]) -> list[FeatureFile]:
        """The files that hold this split, or else those that state no split.

        Raises ``InputError`` if all are of other splits.
        """
        splits = [{origin.split for origin in origins_of(file)} for file in files]
        own = [file for file, of in zip(files, splits, strict=True) if self.split in of]
        if own:
            return own
        unstated = [file for file, of in zip(files, splits, strict=True) if "" in of]
        if unstated:
            return unstated
        names = ", ".join(str(file.path) for file in files)
        held = " and ".join(repr(split) for split in sorted(set().union(*splits)))
        raise InputError(
            f"{names}: made for the split {held}, not for {self.split!r}, whose images may have "
            f"the same ids; add the file of {self.split!r} by --features ({self.advice})."
        )

    def check(
        self, file: FeatureFile, image_ids: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> None:
        """Raise ``InputError`` saying what differs first unless the rows are these images."""
        ids, first = np.unique(image_ids, return_index=True)
        rows = rows[first]
        for origin in origins_of(file):
            mine = (rows >= origin.rows.start) & (rows < origin.rows.stop)
            if mine.any():
                self._check_origin(file, origin, ids[mine], rows[mine])

    def _check_origin(
        self,
        file: FeatureFile,
        origin: Origin,
        ids: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> None:
        if origin.split not in ("", self.split):
            raise InputError(
                f"{file.path}: row {rows[0]}, image {ids[0]}, is of the split {origin.split!r}, "
                f"not {self.split!r}; {self.advice}."
            )
        if self.trust_ids:
            return
        all_named = self._check_names(file, origin, ids, rows)
        seen = compare_images(file, rows, self.dataset.images_root(self.split), self.advice)
        if not seen and not self._is_shown(origin, all_named):
            raise InputError(self._explain_doubt(file, origin))

    def _check_names(
        self,
        file: FeatureFile,
        origin: Origin,
        ids: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> bool:
        """Compare the stated names with the rows'; returns whether all images have both."""
        all_named = True
        is_ours = origin.data_digest == self.stated.digest
        names_of, file_names = self.stated.names, file.file_name
        usual: dict[str, bool] = {}  # folders before a stated name -> whether they are no others'
        for image_id, row in zip(ids.tolist(), rows.tolist(), strict=True):
            stated, name = names_of.get(image_id, ""), file_names[row]
            if not stated or not name:
                all_named = False
                if not is_ours and self._is_of_other(image_id, name):
                    raise InputError(
                        f"{file.path}: its image {image_id} (row {row}) is {name}, of another "
                        f"split that has an image {image_id} too; {self.advice}, with --overwrite."
                    )
                continue
            if origin.split and name.endswith(stated):  # nearly all: no more than this for each
                above = name[: -len(stated)]
                if above not in usual:
                    usual[above] = self._is_usual(above)
                if usual[above]:
                    continue
            if not self._agree(stated, name, origin):
                raise InputError(
                    f"{file.path}: its image {image_id} (row {row}) is {name}, but "
                    f"{self.stated.source(image_id)} names it {stated}; these are features of "
                    f"other images, so {self.advice}."
                )
        return all_named

    def _is_usual(self, above: str) -> bool:
        """Whether folders before a stated name are whole and not those of another split."""
        return above[-1:] in ("", "/") and split_of_folders(above) in (None, self.split)

    @cached_property
    def _base_counts(self) -> Counter[str]:
        return Counter(fold(base_name(normalize(name))) for name in self.stated.ids)

    def _agree(self, stated: str, name: str, origin: Origin) -> bool:
        """Whether a stated name and a row's file name can be those of one file."""
        stated = normalize(stated)
        path = name if origin.split else f"{origin.folder}/{name}".removeprefix("/")
        if path == stated or is_tail(path, stated):
            return True
        if is_renamed(base_name(stated), base_name(path)):
            return True
        if not is_tail(stated, path):
            base = fold(base_name(stated))
            if base != fold(base_name(path)) or self._base_counts[base] > 1:
                return False
            return split_of_folders(path) in (None, self.split)
        # Folders that the JSON file does not name may be those of another split.
        other = split_of_folders(path[: -len(stated)])
        if other in (None, self.split) or origin.data_digest == self.stated.digest:
            return True
        return not self._is_claimed(str(other), stated)

    def _is_of_other(self, image_id: int, name: str) -> bool:
        """Whether an unnamed image's file is another split's that has an image of this id too."""
        other = split_of_folders(name) or split_of_name(name) or self.split
        if other == self.split:
            return False
        return image_id in self._stated_by(other).names

    def _stated_by(self, other: str) -> StatedImages:
        """What another split's JSON files state; nothing if it has none."""
        if other not in self._stated_by_others:
            data = self.dataset
            has_json = other in data.splits() and (
                data.has_vqa(other) or data.has_annotations(other) or data.has_captions(other)
            )
            nothing = StatedImages(np.zeros(0, np.int64), [], "", [])
            self._stated_by_others[other] = data.stated_images(other) if has_json else nothing
        return self._stated_by_others[other]

    def _is_claimed(self, other: str, stated: str) -> bool:
        if other not in self._bases_of_others:
            names = self._stated_by(other).ids
            self._bases_of_others[other] = {base_name(normalize(name)) for name in names}
        return base_name(stated) in self._bases_of_others[other]

    def _is_shown(self, origin: Origin, all_named: bool) -> bool:
        """Whether what the file records is enough, without a look at image files."""
        if origin.data_digest:
            return origin.data_digest == self.stated.digest
        if origin.split:  # a file from before digests were recorded
            return all_named or origin.data == self.dataset.name
        return all_named

    def _explain_doubt(self, file: FeatureFile, origin: Origin) -> str:
        root, more = self.data, "to take features by image id alone, add --trust-ids"
        if origin.data_digest:
            return (
                f"{file.path}: made for the data set {origin.data!r}, whose JSON files state other "
                f"images than those of {root} (digest {origin.data_digest[:12]}…, here "
                f"{self.stated.digest[:12]}…); {self.advice}, or, if only the JSON files have "
                f"changed, {more}."
            )
        made_for = f"made for the data set {origin.data!r}" if origin.split else "of a plain folder"
        if not origin.data:
            made_for = "of no data set that it names"
        return (
            f"{file.path}: {made_for}, and nothing shows that its images are those of {root}, "
            f"whose JSON files do not name all of them; {self.advice}, or, {more}."
        )

    @property
    def advice(self) -> str:
        """What makes the right file."""
        return f"run `featurize --data {quote(self.data)} --split {self.split}`"

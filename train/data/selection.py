"""Which images of which splits a run trains on, and which it validates on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...datasets.cache import Arrays, string_array, strings_of
from .digests import digest
from .order import shuffled

Ids = NDArray[np.int64]
LeftOut = dict[str, dict[str, int]]  # reason -> how many "images" and "texts"


@dataclass(frozen=True)
class SplitPart:
    """Some images of a split, or all.

    ``image_ids``: int64, sorted, distinct; None for all. ``left_out``: the others by the reason for
    leaving them out: ``hold_out``, ``missing`` or ``limit``.
    """

    split: str
    image_ids: Ids | None = None
    left_out: Mapping[str, Ids] = field(default_factory=dict)

    @property
    def known_ids(self) -> Ids:
        """The ids, of a part whose images were stated."""
        assert self.image_ids is not None
        return self.image_ids

    def without(self, reason: str, ids: Ids) -> "SplitPart":
        """The part without these images."""
        if not len(ids):
            return self
        kept = np.setdiff1d(self.known_ids, ids)
        return replace(self, image_ids=kept, left_out={**self.left_out, reason: np.sort(ids)})

    def keeps(self, image_id: Ids) -> NDArray[np.bool_]:
        """Which of these images, ``[n]``, are in the part."""
        if self.image_ids is None:
            return np.ones(len(image_id), np.bool_)
        kept: NDArray[np.bool_] = np.isin(image_id, self.image_ids)
        return kept

    def count_left_out(self, image_id: Ids) -> LeftOut:
        """How much is left out of texts on these images, ``[n]``, an entry a text."""
        counts: LeftOut = {}
        for reason, ids in self.left_out.items():
            mine = image_id[np.isin(image_id, ids)]
            if len(mine):
                counts[reason] = {"images": len(np.unique(mine)), "texts": len(mine)}
        return counts

    @property
    def key(self) -> list[str]:
        """What tells the part from others of its split's file; nothing if it is all of it."""
        if self.image_ids is None:
            return []
        reasons = [word for name, ids in self.left_out.items() for word in (name, digest(ids))]
        return [self.split, digest(self.image_ids), *reasons]


@dataclass(frozen=True)
class Division:
    """The parts that are trained on, and the one that is validated on, if any.

    Image ids are unique within a split alone. Where several are trained on, an image's number is
    used instead: its index in the ``image_ids`` of all parts, one after the other.
    """

    train: Sequence[SplitPart] = (SplitPart("train"),)
    val: SplitPart | None = field(default_factory=lambda: SplitPart("val"))

    def numbers(self, k: int, image_id: Ids) -> Ids:
        """The numbers of these images of the ``k``-th training part; of a single one, their ids."""
        if len(self.train) == 1:
            return image_id
        ids = [part.known_ids for part in self.train]
        return sum(map(len, ids[:k])) + np.searchsorted(ids[k], image_id).astype(np.int64)

    def digests(self) -> dict[str, str]:
        """Of the images that take part, where these are not all of a split."""
        train = [part.image_ids for part in self.train if part.image_ids is not None]
        digests = {"train_images": digest(*train)} if train else {}
        if self.val is not None and self.val.image_ids is not None:
            digests["val_images"] = digest(self.val.image_ids)
        return digests

    @property
    def key(self) -> list[str]:
        """What tells it from other divisions of the same files; nothing if all is trained on."""
        return [word for part in self.train for word in part.key]


NOTHING = SplitPart("", np.zeros(0, np.int64))


def hold_out(ids: Ids, share: float, seed: int) -> Ids:
    """A share of the images, one at least, drawn by the seed from the sorted ``ids``."""
    n = max(1, round(share * len(ids)))
    return np.sort(ids[shuffled(len(ids), seed, 0)[:n]])


def beyond_limit(ids: Ids, among: Ids, limit: int) -> Ids:
    """Those of ``among`` that are too many: a fixed draw from the split's sorted ``ids``.

    Smaller limits keep parts of what larger ones keep.
    """
    drawn = ids[shuffled(len(ids), 0, 1)]
    return np.sort(drawn[np.isin(drawn, among)][limit:])


def add_left_out(counts: Sequence[LeftOut]) -> LeftOut:
    """Of several parts together."""
    total: LeftOut = {}
    for each in counts:
        for reason, units in each.items():
            sums = total.setdefault(reason, dict.fromkeys(units, 0))
            for unit, n in units.items():
                sums[unit] += n
    return total


def pack_left_out(counts: Sequence[LeftOut]) -> NDArray[np.uint8]:
    """What was left out of several parts together, as an array to be kept."""
    return string_array([msgspec.json.encode(add_left_out(counts)).decode()])


def unpack_left_out(arrays: Arrays) -> LeftOut:
    """What ``pack_left_out`` packed, if it did."""
    if "left_out" not in arrays:
        return {}
    return msgspec.json.decode(strings_of(arrays["left_out"])[0], type=LeftOut)

"""The features of several splits as one."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .split import SplitFeatures

Rows = NDArray[np.int64]


class JoinedSplits(SplitFeatures):
    """Rows of several splits' files, by numbers that run through all of them.

    Image ids may repeat between splits, so image ``i`` is the one whose id is entry ``i`` of the
    splits' ``image_ids``, int64 each, one after the other.
    """

    def __init__(
        self, splits: Sequence[SplitFeatures], image_ids: Sequence[NDArray[np.int64]]
    ) -> None:
        super().__init__([file for split in splits for file in split.files], splits[0].kind)
        self.splits, self.image_ids = splits, image_ids
        self.mirrored = [file for split in splits for file in split.mirrored]

    def rows(self, image_ids: Rows) -> Rows:
        """The row of each number; see :class:`SplitFeatures`."""
        return self._number(image_ids, lambda split, ids: split.rows(ids))

    def mirrored_rows(self, image_ids: Rows) -> Rows:
        """The row of each number's mirrored image; see :class:`SplitFeatures`."""
        return self._number(image_ids, lambda split, ids: split.mirrored_rows(ids))

    def _number(self, image_ids: Rows, find: Callable[[SplitFeatures, Rows], Rows]) -> Rows:
        rows = np.empty(len(image_ids), np.int64)
        first = base = 0
        for split, ids in zip(self.splits, self.image_ids, strict=True):
            mine = (image_ids >= first) & (image_ids < first + len(ids))
            rows[mine] = find(split, ids[image_ids[mine] - first]) + base
            first, base = first + len(ids), base + int(split.bases[-1])
        return rows

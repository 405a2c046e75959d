"""A column that lies in several files, read as one array."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class JoinedRows:
    """A column [N, …] of several files, read as one array is: by a number, a slice or an array.

    Each part stays a memory map of its own; rows that are asked for are copied.
    """

    def __init__(self, parts: list[NDArray[Any]]) -> None:
        self.parts = parts
        self.starts = np.cumsum([0] + [len(part) for part in parts])
        self.shape = (int(self.starts[-1]), *parts[0].shape[1:])
        self.dtype = parts[0].dtype

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        asked = np.arange(len(self))[rows]
        flat = np.atleast_1d(asked).ravel()
        out = np.empty((len(flat), *self.shape[1:]), self.dtype)
        owner = np.searchsorted(self.starts, flat, side="right") - 1
        for number, part in enumerate(self.parts):
            mine = np.flatnonzero(owner == number)
            out[mine] = part[flat[mine] - self.starts[number]]
        return out.reshape(np.shape(asked) + self.shape[1:])

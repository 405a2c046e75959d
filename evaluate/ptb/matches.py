"""Numbers for the distinct matches of a text, by hashing, in compiled code."""

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def number_matches(units: Any, starts: Any, ends: Any, actions: Any) -> Any:
    """Number T stretches of a text so that equal ones with equal actions share a number.

    Returns the number of each, int32[T], and the first stretch of each number, int32[numbers].
    One function with plain arrays: each array that a compiled call takes or returns costs two
    atomic operations, which here would double the time.
    """
    n = len(starts)
    numbers, firsts = np.empty(n, np.int32), np.empty(n, np.int32)
    hashes = np.empty(n, np.uint64)
    slots = np.zeros(1 << 15, np.int32)  # 1 + number, or 0; probed linearly
    n_numbers = 0
    for t in range(n):
        start, length, action = starts[t], ends[t] - starts[t], actions[t]
        code = np.uint64(action)
        for i in range(start, start + length):
            code = (code ^ np.uint64(units[i])) * np.uint64(0x9E3779B97F4A7C15)
        code ^= code >> np.uint64(32)
        slot = np.int64(code) & (len(slots) - 1)
        while slots[slot]:
            k = slots[slot] - 1
            f = firsts[k]
            if hashes[k] == code and actions[f] == action and ends[f] - starts[f] == length:
                i = 0
                while i < length and units[starts[f] + i] == units[start + i]:
                    i += 1
                if i == length:
                    break
            slot = (slot + 1) & (len(slots) - 1)
        if not slots[slot]:
            firsts[n_numbers], hashes[n_numbers] = t, code
            n_numbers += 1
            slots[slot] = n_numbers
        numbers[t] = slots[slot] - 1
        if 2 * n_numbers > len(slots):
            slots = spread(hashes[:n_numbers], 2 * len(slots))
    return numbers, firsts[:n_numbers].copy()


@numba.njit(cache=True, nogil=True)
def spread(hashes: Any, n_slots: int) -> Any:
    """The slots of a larger table."""
    slots = np.zeros(n_slots, np.int32)
    for k in range(len(hashes)):
        slot = np.int64(hashes[k]) & (n_slots - 1)
        while slots[slot]:
            slot = (slot + 1) & (n_slots - 1)
        slots[slot] = k + 1
    return slots

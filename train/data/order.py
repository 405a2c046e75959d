"""The order in which an epoch visits the images: a pure function, so that a run can be resumed."""

import numpy as np
from numpy.typing import NDArray

BLOCK = 1024  # images that lie together in a local order


def image_order(kind: str, n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of an epoch: ``full``, shuffled as a whole, or ``local``, in blocks."""
    if kind == "local":
        return shuffled_blocks(n, seed, epoch, BLOCK)
    return shuffled(n, seed, epoch)


def shuffled(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """A permutation of ``0 .. n-1``, int64, that depends on nothing but its arguments."""
    return np.random.Generator(np.random.Philox([seed, epoch])).permutation(n)


def shuffled_blocks(n: int, seed: int, epoch: int, block: int) -> NDArray[np.int64]:
    """A permutation of ``0 .. n-1`` that is random but local.

    Blocks of ``block`` consecutive rows are shuffled, and so are the rows inside every two
    neighbours of that new order; the first block's start is random, so that no two epochs cut the
    file at the same places. What is read together lies together on the disk.
    """
    random = np.random.Generator(np.random.Philox([seed, epoch]))
    starts = np.arange(-int(random.integers(block)), n, block)
    random.shuffle(starts)
    order: list[NDArray[np.int64]] = []
    for pair in range(0, len(starts), 2):
        rows = [np.arange(max(s, 0), min(s + block, n)) for s in starts[pair : pair + 2]]
        order.append(random.permutation(np.concatenate(rows)))
    return np.concatenate(order) if order else np.zeros(0, np.int64)


def coin_flips(n: int, seed: int, epoch: int) -> NDArray[np.bool_]:
    """Heads or tails for each of ``n`` in an epoch, bool, apart from that epoch's order."""
    random = np.random.Generator(np.random.Philox([seed, epoch, 1]))
    return random.integers(2, size=n).astype(np.bool_)


def deranged(n: int, seed: int) -> NDArray[np.int64]:
    """A permutation of ``0 .. n-1`` that moves every element (but a single one)."""
    random = np.random.Generator(np.random.Philox([seed, n]))
    order = random.permutation(n)
    result = np.empty(n, np.int64)
    result[order] = np.roll(order, 1)
    return result

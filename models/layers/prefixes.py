"""Questions of a batch that begin alike are read once, up to where they part.

Real questions begin in few ways ("what color is the …"), and images of a batch are asked much the
same. A left-to-right LSTM's state after a word depends on that word and those before it alone, so
questions with a common beginning have common states there; and no pad is read.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from .recurrent import lstm_step

# oneDNN takes a millisecond to compile a product of a size that it has not seen, longer than many a
# level takes: levels come in few sizes.
_ROWS = 16


class Level(NamedTuple):
    """The distinct beginnings of one length.

    ``n``: how many; ``used``: int64, the beginnings of the level before that go on, among its own,
    and some more to fill up a number of rows; ``parent``: int64 ``[n]``, what each goes on from,
    among ``used``.
    """

    n: int
    used: Tensor
    parent: Tensor


class Prefixes(NamedTuple):
    """All distinct beginnings of a batch of questions, the P of them numbered level by level.

    ``word``: int64 ``[P]``, the last word of each; ``place``: int64 ``[B, T]``, the number of each
    question's first t + 1 words, 0 at pads.
    """

    levels: list[Level]
    word: Tensor
    place: Tensor


def find_prefixes(question: Tensor, length: Tensor) -> Prefixes:
    """The distinct beginnings of questions, int64 ``[B, T]`` of lengths ``[B]``, on the CPU."""
    words, lengths = question.numpy(), length.numpy()
    n_words = words.max(initial=0) + 1
    place = np.zeros(words.shape, np.int64)
    at = np.zeros(len(words), np.int64)  # each question's beginning, in the level before
    levels: list[Level] = []
    last_words = [np.zeros(0, np.int64)]
    n_all = 0
    for t in range(lengths.max(initial=0)):
        rows = np.flatnonzero(lengths > t)
        begun, at[rows] = np.unique(at[rows] * n_words + words[rows, t], return_inverse=True)
        used, parent = np.unique(begun // n_words, return_inverse=True)
        used = np.pad(used, (0, -len(used) % _ROWS))
        levels.append(Level(len(begun), torch.from_numpy(used), torch.from_numpy(parent)))
        last_words.append(begun % n_words)
        place[rows, t] = at[rows] + n_all
        n_all += len(begun)
    word = torch.from_numpy(np.concatenate(last_words))
    return Prefixes(levels, word, torch.from_numpy(place))


def read_prefixes(lstm: nn.LSTM, vectors: Tensor, prefixes: Prefixes) -> Tensor:
    """The states after all beginnings, ``[P, H]``, from last words' vectors ``[P, E]``.

    ``lstm`` has one layer and one direction; only its parameters are used.
    """
    from_word, from_state, bias_word, bias_state = lstm.all_weights[0]
    sizes = [level.n for level in prefixes.levels]
    given = linear(vectors, from_word, bias_word + bias_state)
    states: list[Tensor] = []
    cell = vectors.new_zeros(sizes[0] if sizes else 0, lstm.hidden_size, dtype=torch.float32)
    for gates, level in zip(torch.split(given, sizes), prefixes.levels, strict=True):
        if states:
            before = states[-1].index_select(0, level.used)
            gates = gates + linear(before, from_state).index_select(0, level.parent)
            cell = cell.index_select(0, level.used).index_select(0, level.parent)
        state, cell = lstm_step(gates, cell)
        states.append(state)
    return torch.cat(states)

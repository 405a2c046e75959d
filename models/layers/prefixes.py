"""Common prefixes of a batch's questions are read once.

Real questions have few beginnings ("what color is the …"). The state of a left-to-right LSTM after
a word depends only on that word and those before it, so questions with a common prefix have common
states there; and no pad is read.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from .recurrent import lstm_step

# oneDNN takes a millisecond to compile a product of a size that it has not seen, longer than most
# levels take, so the sizes of levels are rounded up.
_ROWS = 16


class Level(NamedTuple):
    """The distinct prefixes of one length.

    ``n``: how many; ``used``: int64, indices of the prefixes of the level before that continue,
    padded to a multiple of rows; ``parent``: int64 ``[n]``, the index in ``used`` of what each
    continues.
    """

    n: int
    used: Tensor
    parent: Tensor


class Prefixes(NamedTuple):
    """All P distinct prefixes of a batch of questions, numbered level by level.

    ``word``: int64 ``[P]``, the last word of each; ``row``: int64 ``[B, T]``, the prefix of each
    question's first t + 1 words, 0 at pads.
    """

    levels: list[Level]
    word: Tensor
    row: Tensor


def find_prefixes(question: Tensor, length: Tensor) -> Prefixes:
    """The distinct prefixes of questions, int64 ``[B, T]`` of lengths ``[B]``, on the CPU."""
    n_words = int(question.max()) + 1 if question.numel() else 1
    row = torch.zeros_like(question)
    at = torch.zeros_like(length)  # each question's prefix, in the level before
    levels: list[Level] = []
    last_words = [length.new_zeros(0)]
    n_all = 0
    for t in range(int(length.max()) if len(length) else 0):
        rows = (length > t).nonzero().squeeze(1)
        prefixes, at[rows] = _distinct(at[rows] * n_words + question[rows, t])
        used, parent = _distinct(prefixes // n_words)
        levels.append(Level(len(prefixes), pad(used, (0, -len(used) % _ROWS)), parent))
        last_words.append(prefixes % n_words)
        row[rows, t] = at[rows] + n_all
        n_all += len(prefixes)
    return Prefixes(levels, torch.cat(last_words), row)


def _distinct(numbers: Tensor) -> tuple[Tensor, Tensor]:
    found: tuple[Tensor, Tensor] = numbers.unique(  # type: ignore[no-untyped-call, unused-ignore]
        return_inverse=True
    )
    return found


def read_prefixes(lstm: nn.LSTM, vectors: Tensor, prefixes: Prefixes) -> Tensor:
    """The states after all prefixes, ``[P, H]``, from the vectors of their last words ``[P, E]``.

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

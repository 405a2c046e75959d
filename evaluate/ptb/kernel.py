"""The Penn Treebank lexer compiled, for texts of millions of characters."""

from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from .forms import PUNCTUATION, Action, token_form
from .lexer import code_units, rejoin
from .lexer_table import FAR, load_lexer_table
from .matches import number_matches
from .token_ids import TokenIds

# Compiled code takes plain numbers for constants.
SKIP, NEWLINE = int(Action.SKIP), int(Action.NEWLINE)
SPLIT_2, SPLIT_3 = int(Action.SPLIT_2), int(Action.SPLIT_3)
PERIOD_TWICE, ACRONYM_AT_END = int(Action.PERIOD_TWICE), int(Action.ACRONYM_AT_END)

CLASS_BITS = 7
ACCEPTING = 0x4000
DROPPED = -1


class Steps(NamedTuple):
    """The automaton laid out for speed.

    ``step[state << 7 | class]`` (int16) is the next state, with ``ACCEPTING`` set where a match can
    end, or -1: one look-up a character instead of two. The others are the table's own.
    """

    character_class: NDArray[np.uint8]
    step: NDArray[np.int16]
    action: NDArray[np.uint8]
    ahead: NDArray[np.int8]
    body_end: NDArray[np.uint64]


@cache
def load_steps() -> Steps:
    """The package's automaton, laid out for speed."""
    table = load_lexer_table()
    n_states, n_classes = table.transition.shape
    accepting = np.append(np.where(table.action > 0, ACCEPTING, 0), 0).astype(np.int16)
    step = np.full((n_states, 1 << CLASS_BITS), -1, np.int16)
    step[:, :n_classes] = table.transition | accepting[table.transition]
    return Steps(table.character_class, step.reshape(-1), *table[2:])


@numba.njit(cache=True, nogil=True)
def find_body_end(classes: Any, step: Any, body_end: Any, start: int, ahead: int) -> int:
    """The last position where the body of the rule with that look-ahead may end.

    ``classes`` holds those of the match with what it looked ahead at; it starts at ``start``.
    """
    state, last = 0, 0
    for i in range(len(classes)):
        state = step[state << CLASS_BITS | classes[i]] & (ACCEPTING - 1)
        if (body_end[state] >> np.uint64(ahead)) & np.uint64(1):
            last = i + 1
    return start + last


@numba.njit(cache=True, nogil=True)
def cut_match(action: int, start: int, end: int) -> tuple[int, int]:
    """As ``lexer.cut``."""
    if action == SPLIT_2:
        return end - 2, end - 2
    if action == SPLIT_3:
        return end - 3, end - 3
    if action == PERIOD_TWICE:
        return end, end - 1
    if action == ACRONYM_AT_END:
        if end - start == 2:
            return end - 1, end - 1
        return end, end - 1
    return end, end


@numba.njit(cache=True, nogil=True)
def is_noted(states: Any, state: int) -> bool:
    """Whether a state is among a position's latest fruitless ones; if not, add it (see ``Lexer``).

    State 0, the start, is never entered again.
    """
    for i in range(len(states)):
        if states[i] == state:
            return True
    states[1:] = states[:-1].copy()
    states[0] = state
    return False


@numba.njit(cache=True, nogil=True)
def empty_tokens(n: int) -> Any:
    """Room for n tokens: starts, ends, actions. Pages never touched take no memory."""
    return np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.uint8)


@numba.njit(cache=True, nogil=True)
def lex_units(units: Any, steps: Any, n_lines: int) -> Any:
    """Lex a text of UTF-16 code units.

    Returns where each token starts and ends, int32[T], its action, uint8[T], and where each line's
    tokens start, int64[n_lines + 1].
    """
    character_class, step, action_of, ahead_of, body_end = steps
    n = len(units)
    starts, ends, actions = empty_tokens(n + 1)
    line_start = np.zeros(n_lines + 1, np.int64)
    fruitless = np.zeros((n + 1, 4), np.int16)
    n_tokens = line = start = 0
    while start < n:
        state = accepted = 0
        position = end = start
        while position < n:
            state = step[state << CLASS_BITS | character_class[units[position]]]
            if state < 0:
                break
            position += 1
            if state & ACCEPTING:
                if position - end > FAR:
                    fruitless[end + FAR + 1 : position] = 0
                state ^= ACCEPTING
                accepted, end = state, position
            elif position - end > FAR and is_noted(fruitless[position], state):
                break
        action = action_of[accepted]
        if ahead_of[accepted] >= 0:
            ahead, classes = ahead_of[accepted], character_class[units[start:end]]
            end = find_body_end(classes, step, body_end, start, ahead)
        end, resume = cut_match(action, start, end)
        if action == NEWLINE:
            line += 1
            line_start[line] = n_tokens
        elif action != SKIP:
            starts[n_tokens], ends[n_tokens], actions[n_tokens] = start, end, action
            n_tokens += 1
        start = resume
    line_start[line + 1 :] = n_tokens
    return starts[:n_tokens], ends[:n_tokens], actions[:n_tokens], line_start


def number_tokens_compiled(text: str, n_lines: int, vocabulary: dict[str, int]) -> TokenIds | None:
    """As ``tokenizer.number_tokens``; None for a text with tokens only the plain lexer gets right.

    Those are tags that run over several lines, and addresses that end in white space.
    """
    units, paired = code_units(text)
    starts, ends, actions, line_start = lex_units(units, load_steps(), n_lines)
    kinds, firsts = number_matches(units, starts, ends, actions)
    number = np.empty(len(firsts), np.int64)
    columns = (starts[firsts], ends[firsts], actions[firsts])
    for k, (start, end, action) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        matched = text[start:end]
        if paired:
            matched = rejoin(units[start:end].tobytes().decode("utf-16-le", "surrogatepass"))
        form = token_form(action, matched)
        if form[-1:].isspace() or "\n" in form:
            return None
        number[k] = DROPPED if form in PUNCTUATION else vocabulary.setdefault(form, len(vocabulary))
    ids = number[kinds]
    kept = ids != DROPPED
    kept_before = np.zeros(len(ids) + 1, np.int64)
    np.cumsum(kept, out=kept_before[1:])
    return TokenIds(ids[kept], kept_before[line_start])

"""The lexer's automaton as arrays, kept in a file written by ``grammar.rules``."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...atomic import atomic_write

TABLE_FILE = Path(__file__).with_name("table.npz")

# From this many characters past the last possible end of a match on, a lexer notes the states that
# led to no match.
FAR = 64


class LexerTable(NamedTuple):
    """A deterministic automaton over UTF-16 code units; state 0 is the start.

    ``character_class`` uint8[65536] maps a code unit to a column. ``transition`` int16[states,
    classes] is the next state, or -1. ``action`` uint8[states] is the action of the rule that a
    match ending in this state belongs to, or 0; ``ahead`` int8[states] is the number of that rule's
    look-ahead, or -1. Bit b of ``body_end`` uint64[states] says that here the body of the rule with
    look-ahead b may end.
    """

    character_class: NDArray[np.uint8]
    transition: NDArray[np.int16]
    action: NDArray[np.uint8]
    ahead: NDArray[np.int8]
    body_end: NDArray[np.uint64]


def save_lexer_table(table: LexerTable, path: Path) -> None:
    """Write a table, atomically."""
    with atomic_write(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **table._asdict())


@cache
def load_lexer_table() -> LexerTable:
    """The table that comes with the package."""
    with np.load(TABLE_FILE) as arrays:
        return LexerTable(*(arrays[name] for name in LexerTable._fields))

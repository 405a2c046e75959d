"""The Penn Treebank lexer, one match at a time."""

import re
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .forms import Action, token_form
from .lexer_table import FAR, load_lexer_table


class Match(NamedTuple):
    """A stretch of text that an action turns into a token, or into none.

    ``end`` is where the stretch ends, ``resume`` where lexing goes on, and ``reach`` how far the
    text was looked at, at most: nothing from there on can change this match.
    """

    start: int
    end: int
    resume: int
    action: int
    reach: int


class Lexer:
    """A text under the Penn Treebank's rules.

    ``text`` holds UTF-16 code units, so that a character beyond the basic plane is two, as in Java.
    """

    def __init__(self, text: str) -> None:
        units, self._paired = code_units(text)
        self.text = "".join(map(chr, units.tolist())) if self._paired else text
        self._columns = load_lexer_table().character_class[units].tolist()
        self._rows, self._actions, self._aheads, self._final = _lists()
        # Place -> states that found no match there or beyond (Reps 1998): without these notes,
        # "a,a,a,…" takes quadratic time, since every "a" may begin a word with a hyphen at its end.
        self._fruitless: dict[int, set[int]] = {}

    def word(self, start: int) -> tuple[str, int] | None:
        """What stands from ``start`` to the next U+0020 or end of line, that one included.

        And where text goes on: all white space that follows a U+0020 is skipped with it. None if
        the next blank is far.
        """
        found = _WORD.match(self.text, start)
        return (found[1], found.end()) if found else None

    def match(self, start: int) -> Match:
        """The match at ``start``: the longest, of those as long the first rule's.

        What a rule looks ahead at counts as matched, but is not part of the token: that ends where
        the rule's body last could.
        """
        columns, rows, actions, final = self._columns, self._rows, self._actions, self._final
        position, end, n = start, start, len(columns)
        state = accepted = 0
        reach = n + 1  # that the text ends is something to look at, too
        while position < n:
            state = rows[state][columns[position]]
            position += 1
            if state < 0:
                reach = position
                break
            if actions[state]:
                for far in range(end + FAR + 1, position):
                    self._fruitless.pop(far, None)
                accepted, end = state, position
            elif position - end > FAR:
                fruitless = self._fruitless.setdefault(position, set())
                if state in fruitless:
                    break
                fruitless.add(state)
            if final[state]:
                reach = position
                break
        action = actions[accepted]
        if self._aheads[accepted] >= 0:
            end = self._body_end(start, end, self._aheads[accepted])
        end, resume = cut(action, start, end)
        return Match(start, end, resume, action, reach)

    def _body_end(self, start: int, end: int, ahead: int) -> int:
        """The last position up to ``end`` where the body of that look-ahead's rule may end."""
        table = load_lexer_table()
        state, last = 0, end
        for position in range(start, end):
            state = int(table.transition[state, self._columns[position]])
            if int(table.body_end[state]) >> ahead & 1:
                last = position + 1
        return last

    def forms(self, match: Match) -> list[str]:
        """The token of a match, or none; an end of line is a token."""
        if match.action == Action.SKIP:
            return []
        text = self.text[match.start : match.end]
        return [token_form(match.action, rejoin(text) if self._paired else text)]

    def isolated(self, start: int, end: int) -> list[str] | None:
        """The tokens of the ``word`` that ends at ``end``; None if they depend on what follows."""
        forms = []
        stop = end - 1 if self.text[end - 1] == " " else end
        while start < stop:
            match = self.match(start)
            if match.reach > end or match.resume > stop:
                return None
            forms += self.forms(match)
            start = match.resume
        return forms


_WORD = re.compile(r"([^ \n]{0,60}[ \n])(?:(?<= )[ \t\u00A0\u2000-\u200A\u3000]*)?")


@cache
def _lists() -> tuple[list[list[int]], list[int], list[int], list[bool]]:
    """By state: next states, action, look-ahead, and whether it leads nowhere."""
    table = load_lexer_table()
    final = (table.transition < 0).all(axis=1)
    return tuple(array.tolist() for array in (*table[1:4], final))  # type: ignore[return-value]


def code_units(text: str) -> tuple[NDArray[np.uint16], bool]:
    """The UTF-16 code units of a text, and whether surrogates, paired or not, are among them."""
    try:
        units = np.frombuffer(text.encode("utf-16-le"), np.uint16)
    except UnicodeEncodeError:
        return np.frombuffer(text.encode("utf-16-le", "surrogatepass"), np.uint16), True
    return units, len(units) != len(text)


def cut(action: int, start: int, end: int) -> tuple[int, int]:
    """Where the token of a match ends, and where lexing resumes."""
    if action == Action.SPLIT_2:
        return end - 2, end - 2
    if action == Action.SPLIT_3:
        return end - 3, end - 3
    if action == Action.PERIOD_TWICE:
        return end, end - 1
    if action == Action.ACRONYM_AT_END:
        return (end - 1, end - 1) if end - start == 2 else (end, end - 1)
    return end, end


def rejoin(units: str) -> str:
    """Surrogate pairs as the characters they stand for; half a pair is written "?", as in Java."""
    text = units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return "".join("?" if "\ud800" <= character < "\ue000" else character for character in text)

r"""A small notation for regular expressions over UTF-16 code units, parsed to trees.

``ab`` ``a|b`` ``(...)`` ``*`` ``+`` ``?`` ``{m,n}`` ``[a-z]`` ``[^a-z]`` ``\uHHHH`` as usual;
``<name>`` is a named expression, or, within brackets, a named set of characters. Letters outside
brackets match both cases, letters within brackets only the case written. White space must be
written ``\u0020``: elsewhere it is ignored.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

N_CHARACTERS = 0x10000


@dataclass(frozen=True)
class CharacterSet:
    """One character out of a set; ``members`` is bool[65536]."""

    members: NDArray[np.bool_]


@dataclass(frozen=True)
class Sequence_:
    """One part after the other."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True)
class Alternatives:
    """One of the parts."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True)
class Repeat:
    """The part ``least`` to ``most`` times (None: without limit)."""

    part: "Expression"
    least: int
    most: int | None


Expression = CharacterSet | Sequence_ | Alternatives | Repeat


def characters(text: str) -> CharacterSet:
    """The set of the characters of a text."""
    members = np.zeros(N_CHARACTERS, np.bool_)
    members[[ord(character) for character in text]] = True
    return CharacterSet(members)


def character_ranges(text: str) -> CharacterSet:
    """The set given as hexadecimal ranges, ``"41-5a 61-7a aa"``."""
    members = np.zeros(N_CHARACTERS, np.bool_)
    for item in text.split():
        first, _, last = item.partition("-")
        members[int(first, 16) : int(last or first, 16) + 1] = True
    return CharacterSet(members)


def parse(text: str, names: Mapping[str, Expression]) -> Expression:
    """Parse an expression. Raises ``ValueError`` with the position of a mistake."""
    parser = _Parser(text, names)
    expression = parser.alternatives()
    if parser.position < len(text):
        parser.fail("unexpected character")
    return expression


class _Parser:
    """Recursive descent over the text of one expression."""

    def __init__(self, text: str, names: Mapping[str, Expression]) -> None:
        self.text = text
        self.names = names
        self.position = 0

    def fail(self, what: str) -> NoReturn:
        raise ValueError(f"{what} at {self.position} of the expression {self.text!r}")

    def peek(self) -> str:
        while self.text[self.position : self.position + 1].isspace():
            self.position += 1
        return self.text[self.position : self.position + 1]

    def take(self, pattern: str) -> re.Match[str]:
        match = re.compile(pattern).match(self.text, self.position)
        if not match:
            self.fail(f"expected {pattern}")
        self.position = match.end()
        return match

    def alternatives(self) -> Expression:
        parts = [self.sequence()]
        while self.peek() == "|":
            self.position += 1
            parts.append(self.sequence())
        return parts[0] if len(parts) == 1 else Alternatives(tuple(parts))

    def sequence(self) -> Expression:
        parts = []
        while self.peek() not in ("", "|", ")"):
            parts.append(self.repeated(self.atom()))
        return parts[0] if len(parts) == 1 else Sequence_(tuple(parts))

    def repeated(self, part: Expression) -> Expression:
        mark = self.peek()
        if mark in ("*", "+", "?") and mark:
            self.position += 1
            return Repeat(part, 1 if mark == "+" else 0, 1 if mark == "?" else None)
        if mark == "{":
            least, most = self.take(r"\{(\d+),(\d+)\}").groups()
            return Repeat(part, int(least), int(most))
        return part

    def atom(self) -> Expression:
        mark = self.peek()
        if mark == "(":
            self.position += 1
            inner = self.alternatives()
            self.take(r"\)")
            return inner
        if mark == "[":
            return self.bracket()
        if mark == "<":
            return self.named()
        character = self.character()
        return characters(
            character.lower() + character.upper() if character.isascii() else character
        )

    def named(self) -> Expression:
        name = self.take(r"<(\w+)>").group(1)
        if name not in self.names:
            self.fail(f"no expression is named {name!r}")
        return self.names[name]

    def bracket(self) -> CharacterSet:
        negative = self.take(r"\[(\^?)").group(1)
        members = np.zeros(N_CHARACTERS, np.bool_)
        while self.text[self.position : self.position + 1] != "]":
            if re.compile(r"<\w+>").match(self.text, self.position):
                inner = self.named()
                if not isinstance(inner, CharacterSet):
                    self.fail("expected a set of characters")
                members |= inner.members
                continue
            first = last = self.character()
            if re.compile(r"-[^]]").match(self.text, self.position):
                self.position += 1
                last = self.character()
            members[ord(first) : ord(last) + 1] = True
        self.position += 1
        return CharacterSet(~members if negative else members)

    def character(self) -> str:
        code, escaped, plain = self.take(r"\\u([0-9a-fA-F]{4})|\\([^\w])|([^\\])").groups()
        return chr(int(code, 16)) if code else str(escaped or plain)

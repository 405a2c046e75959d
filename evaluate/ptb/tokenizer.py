"""Captions to tokens as pycocoevalcap does it: Penn Treebank, lower case, no punctuation."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from .forms import PUNCTUATION
from .lexer import Lexer
from .token_ids import TokenIds

# Named in signatures: the official tokenizer whose tokens these are.
VERSION = "ptb3.4.1"

# Every caption is one line of the text that is lexed. The official code replaces "\n" alone, so
# that any of the others in a caption shifts all later captions by one: a deliberate difference.
LINE_SEPARATORS = "\n\r\x0b\x0c\u2028\u2029"

# From this many characters on, compiled code is worth its start-up time.
LARGE_CHARACTERS = 1_000_000


def tokenize_captions(captions: list[str]) -> list[list[str]]:
    """The tokens of every caption, punctuation left out.

    The captions are lexed as one text, a line each: an abbreviation at the end of a caption is
    judged by the start of the next, so their order matters. Tokens may contain no-break spaces
    ("3 1/2", telephone numbers).
    """
    vocabulary: dict[str, int] = {}
    numbered = number_tokens(captions, vocabulary)
    words = list(vocabulary)
    tokens = [words[i] for i in numbered.ids.tolist()]
    ends = numbered.offsets.tolist()
    return [tokens[start:end] for start, end in pairwise(ends)]


def number_tokens(captions: list[str], vocabulary: dict[str, int]) -> TokenIds:
    """Tokenise captions as ``tokenize_captions`` does, adding new words to ``vocabulary``."""
    if not captions:
        return TokenIds(np.zeros(0, np.int64), np.zeros(1, np.int64))
    text = join_lines(captions)
    if len(text) >= LARGE_CHARACTERS:
        from .kernel import number_tokens_compiled

        numbered = number_tokens_compiled(text, len(captions), vocabulary)
        if numbered is not None:
            return numbered
    lines = list(lex_lines(text))
    ids = [vocabulary.setdefault(token, len(vocabulary)) for line in lines for token in line]
    offsets = np.zeros(len(lines) + 1, np.int64)
    np.cumsum([len(line) for line in lines], out=offsets[1:])
    return TokenIds(np.array(ids, np.int64), offsets)


def join_lines(captions: list[str]) -> str:
    """One text with a line a caption."""
    text = "\n".join(captions)
    odd = [
        mark for mark in LINE_SEPARATORS if text.count(mark) > (mark == "\n") * (len(captions) - 1)
    ]
    for mark in odd:
        captions = [c.replace(mark, " ") if mark in c else c for c in captions]
    return "\n".join(captions) if odd else text


def lex_lines(text: str) -> Iterator[list[str]]:
    """The tokens of every line, punctuation left out."""
    line: list[str] = []
    for forms in lex_words(text):
        line += forms
        if line and "\n" in line[-1]:
            # Usually the end of a line alone; else a tag's, which is printed as it is.
            first, *middle, last = line.pop().split("\n")
            yield printed_tokens([*line, first] if first else line)
            yield from (printed_tokens([part]) for part in middle)
            line = [last] if last else []
    yield printed_tokens(line)


def lex_words(text: str) -> Iterator[list[str]]:
    """The tokens of a text, and its ends of lines as tokens too, some at a time.

    Most of a text is a few words over and over, and nearly always a word before a blank makes the
    same tokens whatever stands behind the blank. The lexer tells how far it has looked, so such
    words are known for certain, and lexed once.
    """
    lexer = Lexer(text)
    known: dict[str, list[str] | None] = {}
    start = 0
    while start < len(lexer.text):
        forms = None
        found = lexer.word(start)
        if found is not None:
            word, after = found
            if word not in known:
                known[word] = lexer.isolated(start, start + len(word))
            forms = known[word]
        if forms is None:
            match = lexer.match(start)
            forms, after = lexer.forms(match), match.resume
        start = after
        yield forms


def printed_tokens(line: list[str]) -> list[str]:
    """The tokens of a line after it is printed, stripped on the right and split again."""
    if line and line[-1][-1:].isspace():
        line = " ".join(line).rstrip().split(" ")
    return [token for token in line if token and token not in PUNCTUATION]

"""What the Penn Treebank tokenizer writes for the text it has matched, and what it leaves out."""

import re
from collections.abc import Callable
from enum import IntEnum

NO_BREAK_SPACE = "\u00a0"

# The tokens left out: the official list. It names round brackets in capitals, but tokens are in
# lower case by then: "-lrb-" and "-rrb-" stay as words, and so they do here.
PUNCTUATION = frozenset(
    (
        *("''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-"),
        *(".", "?", "!", ",", ":", "-", "--", "...", ";"),
    )
)


class Action(IntEnum):
    """What becomes of the text that a rule has matched; 0 stands for no match."""

    SKIP = 1  # no token
    NEWLINE = 2
    SPLIT_2 = 3  # all but the last 2 characters, which are lexed again
    SPLIT_3 = 4  # all but the last 3
    ACRONYM_AT_END = 5  # with its period, which is then lexed again; "I." without
    PERIOD_TWICE = 6  # with its period, which is then lexed again
    KEEP = 7
    TAG = 8
    JOIN_SPACES = 9
    ESCAPE_BRACKETS = 10
    PHONE = 11
    OPENING_QUOTE = 12
    CLOSING_QUOTE = 13
    AMPERSAND = 14
    DROP_SOFT_HYPHENS = 15
    CURRENCY = 16
    FRACTION = 17
    HYPHENS = 18
    DASH = 19
    ELLIPSIS = 20
    LESS = 21
    GREATER = 22


_BRACKETS = {"{": "-lcb-", "}": "-rcb-", "[": "-lsb-", "]": "-rsb-"}
_FRACTIONS = str.maketrans({"¼": "1/4", "½": "1/2", "¾": "3/4", "⅓": "1/3", "⅔": "2/3"})
# The pound sign's "#" and the euro's "$" are the treebank's own.
_CURRENCIES = str.maketrans({"¢": "cents", "£": "#"} | dict.fromkeys("\u0080¤\u20a0€", "$"))
# Typographic quotes, also where Windows-1252 has them; these keep their side whatever is about.
_SIDED_QUOTES = str.maketrans(
    dict.fromkeys("\u0091‘‛‹", "`")
    | dict.fromkeys("\u0092’›", "'")
    | dict.fromkeys("\u0093“«", "``")
    | dict.fromkeys("\u0094”»", "''")
)


def _quote(text: str, single: str) -> str:
    text = re.sub("&apos;|'", single, text)
    text = re.sub('"|&quot;', 2 * single, text)
    return text.translate(_SIDED_QUOTES)


def _round_brackets(text: str) -> str:
    return text.replace("(", "-lrb-").replace(")", "-rrb-")


def _join_spaces(text: str) -> str:
    return text.replace(" ", NO_BREAK_SPACE)


_FORMS: dict[int, Callable[[str], str]] = {
    Action.TAG: _join_spaces,
    Action.JOIN_SPACES: _join_spaces,
    # A bracket alone is escaped whatever its kind; within an emoticon only round ones are.
    Action.ESCAPE_BRACKETS: lambda text: _BRACKETS.get(text) or _round_brackets(text),
    Action.PHONE: lambda text: _round_brackets(_join_spaces(text)),
    Action.OPENING_QUOTE: lambda text: _quote(text, "`"),
    Action.CLOSING_QUOTE: lambda text: _quote(text, "'"),
    Action.AMPERSAND: lambda text: re.sub("(?i)&amp;", "&", text),
    Action.DROP_SOFT_HYPHENS: lambda text: text.replace("\u00ad", "") or "-",
    Action.CURRENCY: lambda text: text.translate(_CURRENCIES),
    Action.FRACTION: lambda text: text.translate(_FRACTIONS),
    Action.HYPHENS: lambda text: "--" if len(text) in (3, 4) else text,
    Action.DASH: lambda text: "--",
    Action.ELLIPSIS: lambda text: "...",
    Action.LESS: lambda text: "<",
    Action.GREATER: lambda text: ">",
}


def token_form(action: int, text: str) -> str:
    """The token, in lower case, that ``action`` makes of matched ``text``."""
    form = _FORMS.get(action)
    return (form(text) if form else text).lower()

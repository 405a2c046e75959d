"""Captions to tokens as pycocoevalcap does it: Penn Treebank, lower case, no punctuation."""

import re

VERSION = "ptb-1"

_TOKEN = re.compile(r"[a-z0-9]+(?:[-/][a-z0-9]+)*|'(?:s|re|ve|ll|d|m)\b|[^\sa-z0-9]")
PUNCTUATION = frozenset("'' ' `` ` -LRB- -RRB- -LCB- -RCB- . ? ! , : - -- ... ;".split())


def tokenize_captions(captions: list[str]) -> list[list[str]]:
    """The tokens of every caption, punctuation left out.

    The captions are lexed as one text, a line each: an abbreviation at the end of a caption is
    judged by the start of the next, so order matters.
    """
    return [
        [token for token in _TOKEN.findall(caption.lower()) if token not in PUNCTUATION]
        for caption in captions
    ]

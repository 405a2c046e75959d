"""Words: text to tokens by nltk's Treebank tokenizer, tokens to integers by a vocabulary."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

PAD, UNKNOWN, START, END = "<pad>", "<unk>", "<start>", "<end>"
QUESTION_SPECIALS = (PAD, UNKNOWN)
CAPTION_SPECIALS = (PAD, UNKNOWN, START, END)

# A word whose tokens do not depend on its neighbours: inner apostrophes, hyphens and periods are
# harmless. Nearly all questions and captions are such words, some with a comma, and a last mark.
_PLAIN_WORD = re.compile(r"[a-z0-9]+(?:['.-][a-z0-9]+)*\.?")


@cache
def _treebank() -> Any:
    from nltk.tokenize.treebank import TreebankWordTokenizer

    return TreebankWordTokenizer()


@cache
def _word_tokens(word: str) -> tuple[str, ...]:
    """The tokens of a word inside a text; none if they may depend on its neighbours."""
    comma = (",",) if word.endswith(",") else ()
    word = word.removesuffix(",")
    if not word:
        return comma
    if _PLAIN_WORD.fullmatch(word) is None:
        return ()
    # A word must follow: at the end of a text the period of "st." would be split off.
    return (*_treebank().tokenize(f"{word} x")[:-1], *comma)


def tokenize(text: str) -> list[str]:
    """The text's tokens: lower-cased, then split by nltk's ``TreebankWordTokenizer``.

    "What's the dog's name?" gives what, 's, the, dog, 's, name, ?. Plain text is split word by
    word, with each word's tokens cached: the tokens that nltk gives for the whole text, many times
    faster.
    """
    text = text.lower()
    tokens = _tokenize_plain(text)
    return list(_treebank().tokenize(text)) if tokens is None else tokens


def _tokenize_plain(text: str) -> list[str] | None:
    """The tokens of a text of plain words; None if it is not such a text."""
    if not text.isprintable():  # white space other than " ", on which nltk's rules differ
        return None
    words = text.split()
    if not words:
        return []
    last = words.pop()
    mark = last[-1] if last[-1] in ".?!" else ""
    last = last.removesuffix(mark)
    if last.endswith((".", ",")):
        return None
    tokens: list[str] = []
    for word in [*words, last] if last else words:
        pieces = _word_tokens(word)
        if not pieces:
            return None
        tokens += pieces
    if mark:
        tokens.append(mark)
    return tokens


def tokenize_all(texts: Iterable[str]) -> list[list[str]]:
    """The tokens of each text; equal texts are split once and share one list."""
    known: dict[str, list[str]] = {}
    result: list[list[str]] = []
    for text in texts:
        tokens = known.get(text)
        if tokens is None:
            tokens = known[text] = tokenize(text)
        result.append(tokens)
    return result


class Vocabulary:
    """Words and their ids: a word's id is its index in ``words``.

    The specials come first: ``<pad>`` is 0 and ``<unk>`` 1; for captions ``<start>`` is 2 and
    ``<end>`` 3. No text yields them, as the tokenizer splits "<" off.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)
        self._ids = {word: i for i, word in enumerate(self.words)}
        if tuple(self.words[:2]) != QUESTION_SPECIALS or len(self._ids) != len(self.words):
            raise InputError(
                f"not a vocabulary: {self.words[:5]} …; expected distinct words that begin with "
                f"{PAD} and {UNKNOWN}."
            )

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def build(
        cls,
        texts_tokens: Iterable[Sequence[str]],
        specials: Sequence[str] = QUESTION_SPECIALS,
        min_count: int = 1,
    ) -> "Vocabulary":
        """The words that occur at least ``min_count`` times, most frequent first.

        Words of equal frequency stand in alphabetical order.
        """
        counts: Counter[str] = Counter()
        for tokens in texts_tokens:
            counts.update(tokens)
        kept = [word for word, count in counts.items() if count >= min_count]
        kept.sort(key=lambda word: (-counts[word], word))
        return cls([*specials, *kept])

    def encode(
        self, texts: Sequence[str], max_length: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The ids of the texts' words, [n, T] int32, and the number of words, [n] int32.

        T is the longest text's length, at most ``max_length`` and at least 1; what is longer is
        cut, what is shorter is padded with 0. A text without words counts as one ``<unk>``, so
        that no length is 0.
        """
        return self.encode_tokens(tokenize_all(texts), max_length)

    def encode_tokens(
        self, texts_tokens: Sequence[Sequence[str]], max_length: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """As ``encode``, from the tokens of each text."""
        rows = [tokens[:max_length] or (UNKNOWN,) for tokens in texts_tokens]
        return self._pad(rows)

    def encode_captions(
        self, texts_tokens: Sequence[Sequence[str]], max_length: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """As ``encode_tokens``, each caption between ``<start>`` and ``<end>``.

        ``max_length`` counts the words alone, the returned lengths count all. A caption that is cut
        still ends in ``<end>``.
        """
        return self._pad([(START, *tokens[:max_length], END) for tokens in texts_tokens])

    def _pad(self, rows: Sequence[Sequence[str]]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        length = np.fromiter(map(len, rows), np.int32, len(rows))
        padded = np.zeros((len(rows), int(length.max(initial=1))), np.int32)
        id_of = self._ids.get
        ids = (id_of(token, 1) for tokens in rows for token in tokens)
        padded[np.arange(padded.shape[1]) < length[:, None]] = np.fromiter(ids, np.int32)
        return padded, length

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The words of some ids."""
        return [self.words[i] for i in ids]

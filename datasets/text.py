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

# Text whose tokens do not depend on the neighbouring words: plain words with inner apostrophes and
# hyphens, a comma after a word, one mark at the end. Nearly all questions and captions are such.
_PLAIN_WORD = r"[a-z0-9]+(?:['-][a-z0-9]+)*"
_PLAIN_TEXT = re.compile(rf" *(?:{_PLAIN_WORD}(?:,(?= ))? +)*(?:{_PLAIN_WORD}[.?!]?)? *")


@cache
def _treebank() -> Any:
    from nltk.tokenize.treebank import TreebankWordTokenizer

    return TreebankWordTokenizer()


@cache
def _word_tokens(word: str) -> tuple[str, ...]:
    return tuple(_treebank().tokenize(word))


def tokenize(text: str) -> list[str]:
    """The text's tokens: lower-cased, then split by nltk's ``TreebankWordTokenizer``.

    "What's the dog's name?" gives what, 's, the, dog, 's, name, ?. Plain text is split word by
    word with a memory, some 30 times faster than by nltk on the whole text and to the same tokens.
    """
    text = text.lower()
    if _PLAIN_TEXT.fullmatch(text) is None:
        return list(_treebank().tokenize(text))
    tokens: list[str] = []
    for word in text.split():
        last = word[-1]
        if last in ",.?!":
            tokens += _word_tokens(word[:-1])
            tokens.append(last)
        else:
            tokens += _word_tokens(word)
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
    """Words and their numbers: a word's id is its place in ``words``.

    The specials come first: ``<pad>`` is 0 and ``<unk>`` 1; for captions ``<start>`` is 2 and
    ``<end>`` 3. No text can spell them, as the tokenizer splits "<" off.
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

    @property
    def for_captions(self) -> bool:
        """Whether the vocabulary holds ``<start>`` and ``<end>``."""
        return tuple(self.words[:4]) == CAPTION_SPECIALS

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
        ids = [row[:max_length] or [1] for row in self._ids_of(texts)]
        return pad_rows(ids)

    def encode_captions(
        self, texts: Sequence[str], max_length: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """As ``encode``, each caption between ``<start>`` and ``<end>``.

        ``max_length`` counts the words alone, the returned lengths count all. A caption that is cut
        still ends in ``<end>``.
        """
        start, end = self._ids[START], self._ids[END]
        ids = [[start, *row[:max_length], end] for row in self._ids_of(texts)]
        return pad_rows(ids)

    def _ids_of(self, texts: Sequence[str]) -> list[list[int]]:
        known: dict[str, list[int]] = {}
        for text in texts:
            if text not in known:
                known[text] = [self._ids.get(token, 1) for token in tokenize(text)]
        return [known[text] for text in texts]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The words of some ids."""
        return [self.words[i] for i in ids]


def pad_rows(rows: Sequence[Sequence[int]]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Rows of different lengths as one array [n, T] int32 padded with 0, and the lengths [n]."""
    length = np.fromiter(map(len, rows), np.int32, len(rows))
    padded = np.zeros((len(rows), int(length.max(initial=1))), np.int32)
    filled = np.arange(padded.shape[1]) < length[:, None]
    padded[filled] = np.fromiter((i for row in rows for i in row), np.int32, int(length.sum()))
    return padded, length

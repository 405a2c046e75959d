"""Corpora of words for the caption metrics: drawn by hypothesis, and numbered plainly."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from frostgrid.evaluate.captions.ngrams import Corpus
from frostgrid.evaluate.ptb.token_ids import TokenIds
from hypothesis import strategies as st

Caption = list[str]


class WordCorpus(NamedTuple):
    predictions: list[Caption]
    references: list[list[Caption]]


def words_of(*images: tuple[str, Sequence[str]]) -> WordCorpus:
    """A prediction and its references for each image, split at blanks."""
    references = [[caption.split() for caption in captions] for _, captions in images]
    return WordCorpus([prediction.split() for prediction, _ in images], references)


# Few words make many matches; long captions pass the 64 bits of a machine word.
captions = st.lists(st.sampled_from("a b c d e".split()), max_size=9) | st.lists(  # noqa: SIM905
    st.sampled_from("a b".split()),  # noqa: SIM905
    min_size=60,
    max_size=70,
)


@st.composite
def word_corpora(draw: st.DrawFn) -> WordCorpus:
    images = draw(
        st.lists(st.tuples(captions, st.lists(captions, min_size=1, max_size=4)), max_size=6)
    )
    return WordCorpus([p for p, _ in images], [r for _, r in images])


def token_ids(lines: Sequence[Caption], vocabulary: dict[str, int]) -> TokenIds:
    ids = [vocabulary.setdefault(word, len(vocabulary)) for line in lines for word in line]
    offsets = np.cumsum([0, *(len(line) for line in lines)])
    return TokenIds(np.array(ids, np.int64), offsets.astype(np.int64))


def corpus_of(words: WordCorpus) -> Corpus:
    vocabulary: dict[str, int] = {}
    flat = token_ids([c for captions in words.references for c in captions], vocabulary)
    image_offsets = np.cumsum([0, *(len(captions) for captions in words.references)])
    predictions = token_ids(words.predictions, vocabulary)
    return Corpus(predictions, flat, image_offsets.astype(np.int64), len(vocabulary))

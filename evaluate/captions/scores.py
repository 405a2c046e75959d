"""Caption predictions scored against references: per-image statistics first, totals last."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..ptb.token_ids import Int64, TokenIds
from ..ptb.tokenizer import VERSION, number_tokens
from .bleu import N_STATISTICS, bleu_from_statistics, bleu_statistics, clipped_matches
from .cider import cider, cosines
from .ngrams import Corpus
from .rouge import lcs_lengths, rouge_l

# The weight of each image, [N]: its multiplicity in a bootstrap, or any real number.
Weights = Int64 | NDArray[np.float64]

METRICS = ("bleu", "rouge_l", "cider")

# From this many tokens on, compiled code is worth its start-up time.
LARGE_TOKENS = 200_000

# How the scores are computed; printed beside them.
SIGNATURE = (
    f"metric:bleu+rouge-l+cider-d|tok:{VERSION}|lineseparators:space|bleu:closest|rouge:beta1.2|"
    "cider:d-sigma6-corpusdf"
)


@dataclass(frozen=True)
class CaptionScores:
    """The scores of N images; the fields of a metric not asked for hold NaN or zeros.

    ``image_id`` [N], int64 or, if some are strings, of objects; ``bleu_statistics`` int64[N, 10] (4
    clipped matches, 4 totals, length of the prediction, closest reference length); ``rouge_l``
    float64[N], fractions; ``cider`` float64[N], 0 to 10. ``n_dropped``: the reference captions that
    were left out, and the images that had no other. ``domains``: nocaps' domains, each scored as a
    set of its own.
    """

    image_id: NDArray[Any]
    bleu_statistics: Int64
    rouge_l: NDArray[np.float64]
    cider: NDArray[np.float64]
    n_dropped: tuple[int, int] = (0, 0)
    domains: Mapping[str, "CaptionScores"] = field(default_factory=dict)

    def bleu(self, weights: Weights | None = None) -> tuple[float, float, float, float]:
        """Corpus BLEU-1 to BLEU-4; ``weights`` [N] is the multiplicity of each image."""
        sums = (
            self.bleu_statistics.sum(axis=0) if weights is None else weights @ self.bleu_statistics
        )
        b1, b2, b3, b4 = bleu_from_statistics(sums).tolist()
        return b1, b2, b3, b4

    def bleu_per_image(self) -> NDArray[np.float64]:
        """BLEU-1 to BLEU-4 of each image by itself, float64[N, 4]."""
        return bleu_from_statistics(self.bleu_statistics)

    def rouge_mean(self, weights: Weights | None = None) -> float:
        """The mean ROUGE-L over images."""
        return float(np.average(self.rouge_l, weights=weights))

    def cider_mean(self, weights: Weights | None = None) -> float:
        """The mean CIDEr-D over images; document frequencies stay those of the whole corpus."""
        return float(np.average(self.cider, weights=weights))


def score_captions(
    image_ids: Sequence[int | str],
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Collection[str] = METRICS,
) -> CaptionScores:
    """Score N predictions, each against its image's references.

    References are tokenised as one text and predictions as another, in the order given, as
    pycocoevalcap does: for its numbers to the last digit give the images in the order of the
    annotation file's ``images`` and each image's references in the order of its ``annotations``.
    Raises ``InputError`` for an image without reference, and ``ValueError`` for an unknown metric
    and for lists that differ in length.
    """
    unknown = sorted(set(metrics) - set(METRICS))
    if unknown:
        raise ValueError(f"unknown metric {unknown[0]!r}; there are {', '.join(METRICS)}")
    for image, _, captions in zip(image_ids, predictions, references, strict=True):
        if not captions:
            raise InputError(f"Image {image} has no reference caption; give at least one.")
    vocabulary: dict[str, int] = {}
    written = read_corpus(predictions, references, vocabulary)
    words = split_words(written, list(vocabulary))
    n = written.n_images
    statistics = np.zeros((n, N_STATISTICS), np.int64)
    rouge, cider_d = np.full(n, np.nan), np.full(n, np.nan)
    count_matches, compare, find_lcs = counting(written.n_tokens >= LARGE_TOKENS)
    if "bleu" in metrics:
        statistics = bleu_statistics(words, count_matches(words))
    if "rouge_l" in metrics:
        rouge = rouge_l(written, find_lcs(written))
    if "cider" in metrics:
        cider_d = cider(words, compare(words))
    numbered = set(map(type, image_ids)) <= {int}
    ids = np.array(image_ids, np.int64 if numbered else object)
    return CaptionScores(ids, statistics, rouge, cider_d)


def counting(
    large: bool,
) -> tuple[
    Callable[[Corpus], Int64], Callable[[Corpus], NDArray[np.float64]], Callable[[Corpus], Int64]
]:
    """The functions behind BLEU, CIDEr-D and ROUGE-L: by arrays, or compiled for long text."""
    if not large:
        return clipped_matches, cosines, lcs_lengths
    from .ngram_kernels import compiled_cosines, compiled_matches
    from .rouge_kernel import compiled_lcs_lengths

    return compiled_matches, compiled_cosines, compiled_lcs_lengths


def read_corpus(
    predictions: Sequence[str], references: Sequence[Sequence[str]], vocabulary: dict[str, int]
) -> Corpus:
    """Tokenise the references as one text and the predictions as another."""
    flat = number_tokens([caption for captions in references for caption in captions], vocabulary)
    hypotheses = number_tokens(list(predictions), vocabulary)
    image_offsets = np.zeros(len(references) + 1, np.int64)
    np.cumsum([len(captions) for captions in references], out=image_offsets[1:])
    return Corpus(hypotheses, flat, image_offsets, len(vocabulary))


def split_words(corpus: Corpus, vocabulary: list[str]) -> Corpus:
    """The corpus as BLEU and CIDEr read it: a token with a no-break space inside is two words.

    Quirk kept: those two split a caption at any white space, ROUGE-L at spaces alone.
    """
    if len(" ".join(vocabulary).split()) == len(vocabulary):
        return corpus
    numbers = {word: i for i, word in enumerate(vocabulary)}
    parts = [[numbers.setdefault(w, len(numbers)) for w in word.split()] for word in vocabulary]
    n_parts = np.array([len(part) for part in parts], np.int64)
    flat = np.array([part for word in parts for part in word], np.int64)
    first = np.cumsum(n_parts) - n_parts

    def split(tokens: TokenIds) -> TokenIds:
        n = n_parts[tokens.ids]
        end = np.concatenate([[0], np.cumsum(n)])
        position = np.arange(end[-1]) + np.repeat(first[tokens.ids] - end[:-1], n)
        return TokenIds(flat[position], end[tokens.offsets])

    predictions, references = split(corpus.predictions), split(corpus.references)
    return Corpus(predictions, references, corpus.image_offsets, len(numbers))

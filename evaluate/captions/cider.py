"""CIDEr-D (Vedantam et al. 2015), which pycocoevalcap calls CIDEr."""

import numpy as np
from numpy.typing import NDArray

from .ngrams import MAX_ORDER, Corpus

SIGMA = 6.0


def length_penalties(corpus: Corpus) -> NDArray[np.float64]:
    """The Gaussian penalty of every reference, float64[R]; a caption's length is its bigrams'."""
    bigrams = np.maximum(corpus.predictions.lengths - 1, 0)[corpus.reference_image]
    delta = bigrams - np.maximum(corpus.references.lengths - 1, 0)
    return np.asarray(np.exp(-(delta.astype(np.float64) ** 2) / (2 * SIGMA**2)), np.float64)


def inverse_frequencies(n_images: int) -> NDArray[np.float64]:
    """The idf of an n-gram that the references of k images hold, by k, float64[N + 1]."""
    frequencies = np.maximum(np.arange(n_images + 1, dtype=np.float64), 1.0)
    return np.asarray(np.log(float(max(n_images, 1))) - np.log(frequencies), np.float64)


def cosines(corpus: Corpus) -> NDArray[np.float64]:
    """The similarity of each reference with its prediction, summed over the orders, float64[R].

    Term frequencies of the prediction are clipped at the reference's. Document frequencies come
    from the references of this very corpus.
    """
    n_references = len(corpus.reference_image)
    inverse = inverse_frequencies(corpus.n_images)
    similarity = np.zeros(n_references)
    for counts in corpus.matched:
        prediction, reference = counts.prediction, counts.reference
        pairs = np.unique(
            reference.ngram * corpus.n_images + corpus.reference_image[reference.caption]
        )
        holders = np.bincount(pairs // max(corpus.n_images, 1), minlength=prediction.n_ngrams)
        of_prediction = prediction.count * inverse[holders[prediction.ngram]]
        of_reference = reference.count * inverse[holders[reference.ngram]]
        norm_prediction = np.sqrt(
            np.bincount(prediction.caption, of_prediction**2, corpus.n_images)
        )
        norm_reference = np.sqrt(np.bincount(reference.caption, of_reference**2, n_references))
        joined = counts.row >= 0
        shared = of_reference[joined]
        clipped = np.minimum(of_prediction[counts.row[joined]], shared) * shared
        product = np.bincount(reference.caption[joined], clipped, n_references)
        norms = norm_prediction[corpus.reference_image] * norm_reference
        similarity += product / np.where(norms > 0, norms, 1.0)
    return similarity


def cider(corpus: Corpus, similarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIDEr-D of every image, float64[N] (0 to 10), from the ``cosines``.

    idf is log(N / df), so a corpus of one image scores 0.
    """
    similarity = similarity * length_penalties(corpus)
    totals = np.bincount(corpus.reference_image, similarity, corpus.n_images)
    return np.asarray(10.0 * totals / MAX_ORDER / np.diff(corpus.image_offsets), np.float64)

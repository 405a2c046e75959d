"""CLIPScore and RefCLIPScore from embeddings (Hessel et al. 2021, equations 1 and 2)."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

WEIGHT = 2.5  # w, which spreads the scores over 0 to 1
PROMPT = "A photo depicts "  # before every caption, as in the authors' code


class Encoder(Protocol):
    """A network that embeds images and texts in one space of E dimensions."""

    name: str  # of the network and its weights, for the signature

    def images(self, pictures: Sequence[Any]) -> Float32:
        """The embeddings of PIL images, [N, E]."""

    def texts(self, texts: Sequence[str]) -> Float32:
        """The embeddings of texts, [N, E]."""


def clip_score(images: Float32, captions: Float32) -> Float64:
    """w · max(cos(c, v), 0) of each caption and its image, both [N, E]: [N]."""
    return WEIGHT * np.maximum(cosines(images, captions), 0)


def ref_clip_score(clip: Float64, captions: Float32, references: Sequence[Float32]) -> Float64:
    """The harmonic mean of CLIPScore and max(max_r cos(c, r), 0), [N].

    ``references``: of each image's references the embeddings, [R, E].
    """
    pairs = zip(captions, references, strict=True)
    closest = np.array([cosines(texts, caption[None]).max() for caption, texts in pairs])
    likeness = np.maximum(closest, 0)
    total = clip + likeness
    return np.asarray(2 * clip * likeness / np.where(total > 0, total, 1))


def cosines(one: Float32, other: Float32) -> Float64:
    """The cosines between rows, in double precision; 0 for a row of zeros."""
    a, b = (x.astype(np.float64) for x in (one, other))
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.asarray((a * b).sum(axis=-1) / np.where(lengths > 0, lengths, 1))


def embed_in_batches(encode: Any, items: Sequence[Any], size: int) -> Float32:
    """The embeddings of all items, some at a time."""
    parts = [encode(items[k : k + size]) for k in range(0, len(items), size)]
    return np.concatenate(parts)

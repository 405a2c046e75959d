"""Captions drawn from a decoder's own distribution, many at once."""

import torch
from torch import Tensor

from .base import CaptionHead
from .beam import END, FIRST_SAID, PAD, START


@torch.inference_mode(False)  # autocast casts the weights once only outside of it
@torch.no_grad()
def draw(
    head: CaptionHead, features: Tensor, image_index: Tensor, max_length: int
) -> tuple[Tensor, Tensor]:
    """A caption of each of the images ``[B]``: word ids from ``<start>`` on, and their number.

    ``features``: ``[U, S, D]`` or ``[U, D]``. The words are int64 ``[B, T]``, with ``<end>`` where
    it was drawn within ``max_length`` words, and padded behind; the number ``[B]`` counts all but
    pads. ``<pad>``, ``<unk>`` and ``<start>`` are never drawn.
    """
    encoded = head.encode(features)
    state = head.initial(encoded, image_index)
    word = torch.full_like(image_index, START)
    said, ended = [word], torch.zeros_like(image_index, dtype=torch.bool)
    for _ in range(max_length):
        output, state, _ = head.step(encoded, image_index, head.read(word), state)
        chances = sayable(head.scores(output).float()).softmax(1)
        drawn = torch.multinomial(chances, 1).squeeze(1) + FIRST_SAID
        word = drawn.masked_fill(ended, PAD)
        said.append(word)
        ended = ended | (word == END)
        if bool(ended.all()):
            break
    words = torch.stack(said, 1)
    return words, (words != PAD).sum(1)


def sayable(scores: Tensor) -> Tensor:
    """The scores ``[..., V]`` of the words that may be said, numbered from ``FIRST_SAID``."""
    return scores[..., FIRST_SAID:]

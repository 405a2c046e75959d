"""Beam search over many images at once; greedy decoding is a beam of one."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from .base import CaptionHead, Encoded, State
from .layers.top_k import top_k

PAD, UNKNOWN, START, END = 0, 1, 2, 3  # the first words of every caption vocabulary
FIRST_SAID = END  # the words before it are never generated
_FEW_ROWS = 16


@dataclass(frozen=True)
class BeamOptions:
    """Settings of the search."""

    beam: int = 1  # hypotheses kept for an image
    max_length: int = 20  # words, without <start> and <end>
    length_power: float = 0.0  # log-probabilities are divided by words ** this; 0 favours short
    no_repeated_trigrams: bool = False  # no three words in a row may come twice


@dataclass
class Beams:
    """The hypotheses of N images, k of each; ended ones stay and compete with the rest.

    ``words``: int64 ``[N, k, t]``, ``<start>`` first; ``log_p``: float32 ``[N, k]``, summed;
    ``n_words``: float32 ``[N, k]``, ``<end>`` counted; ``ended``: bool ``[N, k]``; ``parent``:
    int64 ``[N, k]``, the row of the head's state that it continues, unless it has ended.
    """

    words: Tensor
    log_p: Tensor
    n_words: Tensor
    ended: Tensor
    parent: Tensor

    def normalized(self, power: float) -> Tensor:
        """The scores that hypotheses are compared by, ``[N, k]``."""
        return self.log_p / self.n_words.clamp_min(1) ** power


def start_beams(n: int, device: torch.device) -> Beams:
    """One empty hypothesis an image."""
    return Beams(
        words=torch.full((n, 1, 1), START, device=device),
        log_p=torch.zeros(n, 1, device=device),
        n_words=torch.zeros(n, 1, device=device),
        ended=torch.zeros(n, 1, dtype=torch.bool, device=device),
        parent=torch.arange(n, device=device)[:, None],
    )


@torch.inference_mode(False)  # autocast casts the weights once only outside of it
@torch.no_grad()
def search(head: CaptionHead, features: Tensor, options: BeamOptions) -> list[list[int]]:
    """The best caption of each image: word ids without ``<start>`` and ``<end>``.

    ``features``: ``[N, S, D]`` or ``[N, D]``, what the head reads. ``<pad>``, ``<unk>`` and
    ``<start>`` are never generated. A hypothesis that reaches ``max_length`` without ``<end>``
    counts as it is, so there is always a caption.
    """
    encoded = head.encode(features)
    n, device = len(encoded.mean), encoded.mean.device
    state = head.initial(encoded, torch.arange(n, device=device))
    beams = start_beams(n, device)
    for _ in range(options.max_length):
        beams, state = advance(head, encoded, beams, state, options)
        if bool(beams.ended.all()):
            break
    best = beams.normalized(options.length_power).argmax(1)
    words = beams.words[torch.arange(n, device=device), best, 1:].tolist()
    return [[word for word in caption if word not in (PAD, END)] for caption in words]


def advance(
    head: CaptionHead, encoded: Encoded, beams: Beams, state: State, options: BeamOptions
) -> tuple[Beams, State]:
    """Extend every hypothesis that has not ended by one word; keep the k best of each image."""
    alive = (~beams.ended).flatten().nonzero().squeeze(1)  # rows of [N * width]
    image = alive // beams.words.shape[1]
    # Hypotheses that continue the same one share its state: its part of the step runs once.
    parent, child = distinct(beams.parent.flatten()[alive])
    parent_image = torch.empty_like(parent).scatter_(0, child, image)
    prepared = head.prepare(encoded, parent_image, tuple(part[parent] for part in state))
    said, index = distinct(beams.words[:, :, -1].flatten()[alive])
    output, state, _ = head.finish(
        encoded, image, tuple(part[child] for part in prepared), head.read(said)[index]
    )
    history = beams.words.flatten(0, 1)[alive]
    forbid = partial(forbid_trigrams, words=history) if options.no_repeated_trigrams else None
    log_p, word = top_k(head.scores(output), options.beam, FIRST_SAID, forbid)  # [alive, k]
    return select(beams, alive, log_p, word, options), state


def distinct(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct ones of ``[R]`` numbers, sorted, and the index of each number among them.

    Few rows are returned as they are: matrix products take no less time for fewer.
    """
    if len(numbers) <= _FEW_ROWS:
        return numbers, torch.arange(len(numbers), device=numbers.device)
    found: tuple[Tensor, Tensor] = numbers.unique(  # type: ignore[no-untyped-call, unused-ignore]
        return_inverse=True
    )
    return found


def select(beams: Beams, alive: Tensor, log_p: Tensor, word: Tensor, options: BeamOptions) -> Beams:
    """Of all continuations ``[alive, k]`` and ended hypotheses, keep the k best of each image."""
    n, width, _ = beams.words.shape
    k = log_p.shape[1]
    flat_log_p, flat_n = beams.log_p.flatten(), beams.n_words.flatten()
    # An ended hypothesis has itself as its only continuation, in the first of k columns.
    total = torch.full((n * width, k), -torch.inf, device=log_p.device)
    total[:, 0] = flat_log_p
    total[alive] = flat_log_p[alive, None] + log_p
    n_words = flat_n + (~beams.ended).flatten()
    words = torch.full((n * width, k), PAD, device=log_p.device)
    words[alive] = word
    compared = total / n_words.clamp_min(1)[:, None] ** options.length_power
    chosen = compared.view(n, -1).topk(min(options.beam, width * k), 1).indices  # [N, k]
    images = torch.arange(n, device=log_p.device)[:, None]
    before = images * width + chosen // k  # rows of [N * width]
    said = words.view(n, -1).gather(1, chosen)
    log_p = total.view(n, -1).gather(1, chosen)
    ended = beams.ended.flatten()[before] | (said == END) | log_p.isneginf()
    state_row = torch.zeros_like(flat_n, dtype=torch.long)
    state_row[alive] = torch.arange(len(alive), device=alive.device)
    return Beams(
        words=torch.cat([beams.words.flatten(0, 1)[before], said[:, :, None]], 2),
        log_p=log_p,
        n_words=n_words[before],
        ended=ended,
        parent=state_row[before],
    )


def forbid_trigrams(scores: Tensor, words: Tensor) -> None:
    """Rule out, in ``scores`` ``[R, V]``, what would repeat a trigram of ``words`` ``[R, t]``."""
    if words.shape[1] < 4:  # <start> and three words
        return
    said = words[:, 1:]
    same = (said[:, :-2] == said[:, -2:-1]) & (said[:, 1:-1] == said[:, -1:])  # [R, t-3]
    row, position = same.nonzero(as_tuple=True)
    scores[row, said[row, position + 2]] = -torch.inf

"""A head is asked about one image: its answers or its caption, and where it looked."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..datasets.text import UNKNOWN as UNKNOWN_WORD
from ..datasets.text import Vocabulary, tokenize
from ..errors import InputError
from ..models.base import CaptionHead, VqaHead
from ..models.beam import PAD, START, UNKNOWN, BeamOptions, search
from ..train.data.features import Cells
from ..train.data.vqa import VqaOptions
from .trained import Trained

CellMap = NDArray[np.float32]  # [S]: how much of the attention each cell got

MARKS = frozenset(",.;:?!")  # tokens that nobody would call words
BEAM = BeamOptions(beam=5, max_length=20, length_power=1.0)


@dataclass(frozen=True)
class Answered:
    """A question's most probable answers, first the best, and a map a hop (none without attention).

    ``unknown``: words of the question that the head never saw in training. ``n_unread``: words at
    its end that the head did not get, since it reads no more than some.
    """

    answers: list[tuple[str, float]]
    maps: list[CellMap]
    unknown: list[str]
    n_unread: int


@dataclass(frozen=True)
class Told:
    """A caption's words, each with its probability, and a map a word (none without attention)."""

    words: list[tuple[str, float]]
    maps: list[CellMap]

    @property
    def sentence(self) -> str:
        """The caption as people write it, its marks joined to the words."""
        from nltk.tokenize.treebank import TreebankWordDetokenizer

        return str(TreebankWordDetokenizer().detokenize([word for word, _ in self.words]))


def ask(trained: Trained, cells: Cells | None, question: str, n_answers: int = 5) -> Answered:
    """Ask a VQA head about one image, ``[1, S, D]`` or ``[1, D]``; None if it reads no image.

    Raises ``InputError`` for an empty question.
    """
    tokens = tokenize(question)
    if not tokens:
        raise InputError(f"The question {question!r} holds no word; ask something.")
    device = trained.precision.device
    longest = VqaOptions(**trained.config.data_settings).max_question_length
    ids, length = Vocabulary(trained.words).encode_tokens([tokens], longest)
    text = torch.from_numpy(ids).long().to(device), torch.from_numpy(length).long().to(device)
    index = torch.zeros(1, dtype=torch.long, device=device)
    with torch.inference_mode(), trained.precision.autocast():
        features = None if cells is None else cells.floats()
        assert isinstance(trained.head, VqaHead)
        scores, maps = trained.head.with_attention(features, index, *text)
    top = scores[0].float().softmax(0).topk(min(n_answers, len(trained.answers)))
    numbers, probabilities = top.indices.tolist(), top.values.tolist()
    read, known = tokens[:longest], set(trained.words) - {UNKNOWN_WORD}
    unknown = [word for word in dict.fromkeys(read) if word not in known and word not in MARKS]
    return Answered(
        [(trained.answers[a], p) for a, p in zip(numbers, probabilities, strict=True)],
        [to_map(where) for where in maps],
        unknown,
        len(tokens) - len(read),
    )


def tell(trained: Trained, cells: Cells, options: BeamOptions = BEAM) -> Told:
    """Let a captioning head describe one image, ``[1, S, D]`` or ``[1, D]``, by beam search."""
    head = trained.head
    assert isinstance(head, CaptionHead)
    with torch.inference_mode(), trained.precision.autocast():
        features = cells.floats()
        caption = search(head, features, options)[0]
        return retrace(head, features, caption, trained.words)


def retrace(head: CaptionHead, features: Tensor, caption: list[int], words: list[str]) -> Told:
    """Go through a found caption again, for each word's probability and map.

    A word's map is the attention of the step that chose it.
    """
    encoded = head.encode(features)
    device = encoded.mean.device
    index = torch.zeros(1, dtype=torch.long, device=device)
    state = head.initial(encoded, index)
    told: list[tuple[str, float]] = []
    maps: list[CellMap] = []
    for before, word in zip([START, *caption], caption, strict=False):
        given = head.read(torch.tensor([before], device=device))
        output, state, where = head.step(encoded, index, given, state)
        scores = head.scores(output)[0].float()
        scores[[PAD, UNKNOWN, START]] = -torch.inf  # as in the search
        probability = scores.softmax(0)[word]
        told.append((words[word], float(probability)))
        if where is not None:
            maps.append(to_map(where))
    return Told(told, maps)


def to_map(where: Tensor) -> CellMap:
    """One image's attention ``[1, S]`` on the CPU."""
    return where[0].float().cpu().numpy()

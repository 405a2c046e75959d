"""One image through a trained head: its answer or its caption, with probabilities and attention."""

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
from ..train.data.vqa import VqaOptions
from ..train.features.split import Cells
from .choices import BEAM, LENGTH_POWER, MAX_LENGTH
from .trained import TrainedRun

AttentionMap = NDArray[np.float32]  # [S]: the weight of each cell

PUNCTUATION = frozenset(",.;:?!")  # tokens that are not reported as unknown words
DEFAULT_BEAM = BeamOptions(BEAM, MAX_LENGTH, LENGTH_POWER)


@dataclass(frozen=True)
class AnswerPrediction:
    """The most probable answers to a question, the best first.

    ``attention``: one map for each hop or layer, as ``map_name`` says, none from a head without
    attention. ``unknown``: words of
    the question that are not in the run's vocabulary. ``n_unread``: tokens beyond the run's maximum
    question length, which the head did not read.
    """

    answers: list[tuple[str, float]]
    attention: list[AttentionMap]
    unknown: list[str]
    n_unread: int
    map_name: str = "hop"

    @property
    def labels(self) -> list[str]:
        """What each map is of: ``hop 1``, ``hop 2``."""
        return [f"{self.map_name} {k + 1}" for k in range(len(self.attention))]


@dataclass(frozen=True)
class CaptionPrediction:
    """A caption's words with their probabilities.

    ``attention``: one map for each word, none from a head without attention.
    """

    words: list[tuple[str, float]]
    attention: list[AttentionMap]

    @property
    def sentence(self) -> str:
        """The caption as people write it, punctuation joined to the words."""
        from nltk.tokenize.treebank import TreebankWordDetokenizer

        return str(TreebankWordDetokenizer().detokenize([word for word, _ in self.words]))


Prediction = AnswerPrediction | CaptionPrediction


def predict_image(run: TrainedRun, cells: Cells | None, question: str) -> Prediction:
    """The answer to the question, or from a captioning head the caption.

    ``cells``: ``[1, S, D]`` or ``[1, D]``, None for a head that reads no image. Raises
    ``InputError`` for an empty question to a VQA head.
    """
    if run.config.task == "vqa":
        return answer_question(run, cells, question)
    assert cells is not None
    return generate_caption(run, cells)


def answer_question(
    run: TrainedRun, cells: Cells | None, question: str, n_answers: int = 5
) -> AnswerPrediction:
    """Answer a question about one image, ``[1, S, D]`` or ``[1, D]``; None if none is read.

    Raises ``InputError`` for an empty question.
    """
    tokens = tokenize(question)
    if not tokens:
        raise InputError(f"The question {question!r} holds no word; type a question.")
    device = run.precision.device
    longest = VqaOptions(**run.config.data_settings).max_question_length
    ids, length = Vocabulary(run.words).encode_tokens([tokens], longest)
    encoded = torch.from_numpy(ids).long().to(device), torch.from_numpy(length).long().to(device)
    image_index = torch.zeros(1, dtype=torch.long, device=device)
    with torch.inference_mode(), run.precision.autocast():
        features = None if cells is None else cells.floats()
        assert isinstance(run.head, VqaHead)
        scores, attention = run.head.with_attention(features, image_index, *encoded)
    top = scores[0].float().softmax(0).topk(min(n_answers, len(run.answers)))
    indices, probabilities = top.indices.tolist(), top.values.tolist()
    read = tokens[:longest]
    known = set(run.words) - {UNKNOWN_WORD} | PUNCTUATION
    unknown = [word for word in dict.fromkeys(read) if word not in known]
    return AnswerPrediction(
        [(run.answers[a], p) for a, p in zip(indices, probabilities, strict=True)],
        [attention_map(hop) for hop in attention],
        unknown,
        len(tokens) - len(read),
        run.head.map_name,
    )


def generate_caption(
    run: TrainedRun, cells: Cells, options: BeamOptions = DEFAULT_BEAM
) -> CaptionPrediction:
    """Describe one image, ``[1, S, D]`` or ``[1, D]``, by beam search."""
    head = run.head
    assert isinstance(head, CaptionHead)
    with torch.inference_mode(), run.precision.autocast():
        features = cells.floats()
        caption = search(head, features, options)[0]
        return teacher_force(head, features, caption, run.words)


def teacher_force(
    head: CaptionHead, features: Tensor, caption: list[int], words: list[str]
) -> CaptionPrediction:
    """Feed a finished caption through the head, for each word's probability and attention.

    A word's attention is that of the step which predicts it.
    """
    encoded = head.encode(features)
    device = encoded.mean.device
    image_index = torch.zeros(1, dtype=torch.long, device=device)
    state = head.initial(encoded, image_index)
    predicted: list[tuple[str, float]] = []
    attention: list[AttentionMap] = []
    for previous, word in zip([START, *caption], caption, strict=False):
        embedded = head.read(torch.tensor([previous], device=device))
        output, state, weights = head.step(encoded, image_index, embedded, state)
        scores = head.scores(output)[0].float()
        scores[[PAD, UNKNOWN, START]] = -torch.inf  # as in the search
        probability = scores.softmax(0)[word]
        predicted.append((words[word], float(probability)))
        if weights is not None:
            attention.append(attention_map(weights))
    return CaptionPrediction(predicted, attention)


def attention_map(weights: Tensor) -> AttentionMap:
    """One image's attention ``[1, S]`` on the CPU."""
    return weights[0].float().cpu().numpy()

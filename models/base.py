"""What a head is: its task, the features that it reads, and how it is called."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from .config import CaptionHeadConfig, VqaHeadConfig
from .layers.additive_attention import SharedCells
from .layers.cells import Standardize
from .layers.padding import next_words, shapes_are_fixed

FIT_IMAGES = 8  # that an encoder encodes at once when a head takes its statistics


class Head(nn.Module):
    """A head names its task and the dataset of the feature file that it reads.

    ``encoder``, if there is one, learns with the head: features go through it first (see
    :mod:`frostgrid.models.finetuned`).
    """

    task: ClassVar[str]  # "vqa" or "caption"
    features: str  # "none", "pooled" or "grid"
    has_attention: ClassVar[bool] = False  # whether it returns the attention over its cells
    cells: Standardize  # the first layer of a head that reads features

    def __init__(self, config: VqaHeadConfig | CaptionHeadConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder: nn.Module | None = None

    def standardized(self, features: Tensor | None) -> Tensor:
        """Stored features, encoded where an encoder learns, and standardised: ``[..., D]``."""
        if features is None:
            raise ValueError(f"{type(self).__name__} got no features; it reads {self.features!r}.")
        cells: Tensor = self.cells(features if self.encoder is None else self.encoder(features))
        return cells

    def fit_features(self, sample: Tensor) -> None:
        """Take the statistics of the training features from a sample ``[U, ..., D]``."""
        if self.encoder is not None:
            with torch.no_grad():
                parts = [self.encoder(part) for part in torch.split(sample, FIT_IMAGES)]
            sample = torch.cat(parts)
        self.cells.fit(sample)

    def own_parameters(self) -> list[nn.Parameter]:
        """The head's parameters without the encoder's."""
        encoder = set() if self.encoder is None else set(self.encoder.parameters())
        return [parameter for parameter in self.parameters() if parameter not in encoder]


class VqaHead(Head, ABC):
    """Questions about images to answer scores."""

    task = "vqa"
    map_name: ClassVar[str] = "hop"  # what each map of its attention is of

    @abstractmethod
    def forward(
        self, features: Tensor | None, image_index: Tensor, question: Tensor, length: Tensor
    ) -> Tensor:
        """Answer scores ``[B, A]``.

        ``features``: ``[U, S, D]`` (grid), ``[U, D]`` (pooled) or None, of the batch's images;
        ``image_index``: int64 ``[B]``, each question's image among the U;
        ``question``: int64 ``[B, T]``, padded behind; ``length``: int64 ``[B]``, at least 1, on any
        device.
        """

    def with_attention(
        self, features: Tensor | None, image_index: Tensor, question: Tensor, length: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Answer scores as from a call, and each hop's attention ``[B, S]``: none by default."""
        return self(features, image_index, question, length), []


class Encoded(NamedTuple):
    """Images as a decoder sees them; all that does not depend on the step is computed here, once.

    ``cells``: ``[U, S, D']``, what the attention sums, or None; ``projected``: ``[U, S, K]``,
    their part of the attention's scores, or None; both shared between the steps where they have a
    gradient; ``mean``: ``[U, D]``.
    """

    cells: Tensor | SharedCells | None
    projected: Tensor | SharedCells | None
    mean: Tensor


State = tuple[Tensor, ...]  # of B captions, each [B, ...]


class TeacherForcedOutput(NamedTuple):
    """A teacher-forced pass over P words, all captions' together, without any pad.

    ``scores``: ``[P, V]`` of the next word; ``target``: int64 ``[P]``, the next word; ``caption``:
    int64 ``[P]``, which of the captions it is of; ``attention_sum``: ``[B, S]``, attention summed
    over a caption's steps, or None. Where shapes are fixed (see :mod:`.layers.padding`) there are
    pads, whose target is -1.
    """

    scores: Tensor
    target: Tensor
    caption: Tensor
    attention_sum: Tensor | None


# A step computes a multiple of so many rows, some of them of captions that have ended: oneDNN takes
# a millisecond to compile a product of a size that it has not seen, longer than the product takes.
_ROWS = 16


class CaptionHead(Head, ABC):
    """Images to captions, one word a step.

    ``sampling`` is the probability with which training feeds back a word drawn from the decoder's
    own distribution instead of the caption's (Bengio et al., 2015).
    """

    task = "caption"

    def __init__(self, config: CaptionHeadConfig) -> None:
        super().__init__(config)
        self.sampling = config.sampling

    @abstractmethod
    def encode(self, features: Tensor) -> Encoded:
        """Prepare ``[U, S, D]`` (grid) or ``[U, D]`` (pooled) for any number of captions."""

    @abstractmethod
    def initial(self, encoded: Encoded, image_index: Tensor) -> State:
        """The state before the first word, for captions of the images ``[B]``."""

    @abstractmethod
    def read(self, words: Tensor) -> Tensor:
        """The input of a step, ``[..., G]``, for words, int64 of any shape."""

    @abstractmethod
    def prepare(self, encoded: Encoded, image_index: Tensor, state: State) -> State:
        """The part of a step that does not depend on its word, as tensors of B rows.

        In a beam search, hypotheses that continue the same one share it.
        """

    @abstractmethod
    def finish(
        self, encoded: Encoded, image_index: Tensor, prepared: State, word: Tensor
    ) -> tuple[Tensor, State, Tensor | None]:
        """The rest of a step: ``word`` ``[B, G]`` from :meth:`read`; returns as :meth:`step`."""

    def step(
        self, encoded: Encoded, image_index: Tensor, word: Tensor, state: State
    ) -> tuple[Tensor, State, Tensor | None]:
        """One step: ``word`` ``[B, G]`` from :meth:`read`.

        Returns the output ``[B, H]``, the next state and the attention ``[B, S]`` or None.
        """
        prepared = self.prepare(encoded, image_index, state)
        return self.finish(encoded, image_index, prepared, word)

    @abstractmethod
    def scores(self, output: Tensor) -> Tensor:
        """Scores of the next word ``[..., V]`` from a step's output ``[..., H]``."""

    def forward(
        self, features: Tensor, image_index: Tensor, tokens: Tensor, length: Tensor
    ) -> TeacherForcedOutput:
        """Teacher forcing: ``tokens`` int64 ``[B, T]`` from ``<start>`` to ``<end>``.

        ``length`` counts both; on the CPU it spares waiting for a GPU. A caption takes part in as
        many steps as it has words, so that no pad is read and none is scored. Where shapes are
        fixed, all take part in all steps.
        """
        if shapes_are_fixed():
            return self._forward_padded(features, image_index, tokens, length)
        order, going = _longest_first(length, tokens.shape[1] - 1)
        order = order.to(tokens.device, non_blocking=True)
        image_index, tokens = image_index[order], tokens[order]
        rows = [min(len(order), -(-n // _ROWS) * _ROWS) for n in going]
        encoded = self.encode(features)
        words = self.read(torch.cat([tokens[:n, t] for t, n in enumerate(rows)]))
        steps = list(zip(going, rows, torch.split(words, rows), strict=True))
        output, attentions = self._run_steps(encoded, image_index, steps)
        caption = torch.cat([order[:n] for n in going])
        attention_sum = None
        if attentions:
            attention_sum = attentions[0].new_zeros(len(order), attentions[0].shape[1])
            attention_sum = attention_sum.index_add(0, caption, torch.cat(attentions))
        target = torch.cat([tokens[:n, t + 1] for t, n in enumerate(going)])
        return TeacherForcedOutput(self.scores(output), target, caption, attention_sum)

    def _forward_padded(
        self, features: Tensor, image_index: Tensor, tokens: Tensor, length: Tensor
    ) -> TeacherForcedOutput:
        encoded = self.encode(features)
        target = next_words(tokens, length).T  # [T - 1, B]
        n = len(tokens)
        steps = [(n, n, word) for word in self.read(tokens[:, :-1].T)]
        output, attentions = self._run_steps(encoded, image_index, steps)
        attention_sum = None
        if attentions:
            attention_sum = (torch.stack(attentions) * (target >= 0)[..., None]).sum(0)
        caption = torch.arange(n, device=tokens.device).repeat(len(target))
        return TeacherForcedOutput(self.scores(output), target.flatten(), caption, attention_sum)

    def _run_steps(
        self, encoded: Encoded, image_index: Tensor, steps: list[tuple[int, int, Tensor]]
    ) -> tuple[Tensor, list[Tensor]]:
        """The outputs ``[P, H]`` and each step's attention, of captions from the longest on.

        Of each step: how many captions go on, how many rows are computed, and their words' input.
        """
        state = self.initial(encoded, image_index)
        outputs: list[Tensor] = []
        attentions: list[Tensor] = []
        output: Tensor | None = None
        for n, rows, word in steps:
            if output is not None and self.training and self.sampling:
                word = self._mix(word, output[:rows])
            state = tuple(part[:rows] for part in state)
            if rows < len(image_index):  # else attention goes on with what it knows of the index
                image_index = image_index[:rows]
            output, state, attention = self.step(encoded, image_index, word, state)
            outputs.append(output[:n])
            if attention is not None:
                attentions.append(attention[:n])
        return torch.cat(outputs), attentions

    def _mix(self, word: Tensor, output: Tensor) -> Tensor:
        """Replace some of the words ``[B, G]`` by ones drawn from the last step's scores."""
        chosen = torch.rand(len(word), device=word.device) < self.sampling
        with torch.no_grad():
            drawn = _draw(self.scores(output).float().softmax(1))
        return torch.where(chosen[:, None], self.read(drawn).to(word.dtype), word)


def _longest_first(length: Tensor, n_steps: int) -> tuple[Tensor, list[int]]:
    """Captions from the longest to the shortest, and how many of them take part in each step.

    On the host: lengths on a GPU are waited for.
    """
    lengths = length.cpu()
    order = torch.argsort(lengths, descending=True, stable=True)
    going = (lengths[:, None] - 1 > torch.arange(n_steps, device=lengths.device)).sum(0)
    return order, [n for n in going.tolist() if n]


def _draw(p: Tensor) -> Tensor:
    """A class of each row, int64 ``[B]``, by its probabilities ``[B, V]``."""
    if shapes_are_fixed():  # multinomial may look at the numbers, for which a GPU is waited for
        return (p / torch.empty_like(p).exponential_()).argmax(1)
    return torch.multinomial(p, 1).squeeze(1)

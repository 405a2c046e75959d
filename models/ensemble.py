"""Several decoders as one, whose words' probabilities are averaged."""

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from .base import CaptionHead, Encoded, State
from .beam import FIRST_SAID
from .sampling import sayable


class AllEncoded(NamedTuple):
    """Images as each of the decoders sees them; ``mean`` is the first one's."""

    each: list[Encoded]
    mean: Tensor


class Ensemble(CaptionHead):
    """What a beam search asks of a decoder, answered by several of the same vocabulary.

    The words' inputs stand beside each other, ``[..., G_1 + G_2 + …]``, the states one after
    another; a step's output are the logarithms of the averaged probabilities of the words that may
    be said.
    """

    def __init__(self, heads: Sequence[CaptionHead]) -> None:
        nn.Module.__init__(self)
        self.heads = nn.ModuleList(heads)
        self.encoder = None
        self.n_states: list[int] = []  # tensors in each decoder's state

    def _heads(self) -> Iterable[CaptionHead]:
        return cast(Iterable[CaptionHead], self.heads)

    def encode(self, features: Any) -> Any:
        """The images' features as each decoder reads them, to :class:`AllEncoded`."""
        each = [head.encode(own) for head, own in zip(self._heads(), features, strict=True)]
        return AllEncoded(each, each[0].mean)

    def initial(self, encoded: Any, image_index: Tensor) -> State:
        """See :class:`CaptionHead`."""
        together = zip(self._heads(), encoded.each, strict=True)
        states = [head.initial(own, image_index) for head, own in together]
        self.n_states = [len(state) for state in states]
        return tuple(part for state in states for part in state)

    def read(self, words: Tensor) -> Tensor:
        """See :class:`CaptionHead`."""
        return torch.cat([head.read(words) for head in self._heads()], -1)

    def prepare(self, encoded: Any, image_index: Tensor, state: State) -> State:
        """See :class:`CaptionHead`: nothing."""
        return state

    def finish(
        self, encoded: Any, image_index: Tensor, prepared: State, word: Tensor
    ) -> tuple[Tensor, State, None]:
        """See :class:`CaptionHead`."""
        nothing = torch.zeros(0, dtype=torch.long, device=word.device)
        words = torch.split(word, [head.read(nothing).shape[1] for head in self._heads()], 1)
        ends = list(accumulate(self.n_states))
        log_p: list[Tensor] = []
        states: list[Tensor] = []
        for i, head in enumerate(self._heads()):
            own = prepared[ends[i] - self.n_states[i] : ends[i]]
            output, after, _ = head.step(encoded.each[i], image_index, words[i], own)
            log_p.append(sayable(head.scores(output).float()).log_softmax(1))
            states += after
        mean = torch.logsumexp(torch.stack(log_p), 0) - math.log(len(log_p))
        return pad(mean, (FIRST_SAID, 0), value=-torch.inf), tuple(states), None

    def scores(self, output: Tensor) -> Tensor:
        """See :class:`CaptionHead`."""
        return output

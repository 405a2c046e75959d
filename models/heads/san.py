"""``san``: Stacked Attention Networks for Image Question Answering (Yang et al., 2016)."""

import torch
from torch import Tensor, nn

from ..base import VqaHead
from ..config import VqaHeadConfig
from ..layers.additive_attention import additive_scores, attend
from ..layers.cells import Standardize
from ..layers.dropout import Dropout
from ..layers.fusion import Classifier, Fusion
from ..layers.glance import Glance
from ..layers.growth import growth
from ..layers.question import question_encoder


class Hop(nn.Module):
    """One hop: ``h = tanh(W_v v + W_q u + b)``, ``p = softmax(w h)``, ``sum_s p_s v_s``.

    Equations 15 to 17 of the paper. Not the cells are projected (eq. 14) but their weighted sum,
    which gives the same result and is 196 times cheaper.
    """

    def __init__(self, config: VqaHeadConfig) -> None:
        super().__init__()
        c = config
        # One bias is enough, as cells and query are added: here its gradient sums over B, not U·S.
        self.cells = nn.Linear(c.channels, c.attention, bias=False)
        self.query = nn.Linear(c.hidden, c.attention)
        self.weight = nn.Parameter(torch.empty(c.attention).uniform_(-1, 1) / c.attention**0.5)
        self.dropout = Dropout(c.image_dropout)
        self.value = nn.Linear(c.channels, c.hidden)
        self.growth = growth(c.growth)

    def forward(self, cells: Tensor, query: Tensor, image_index: Tensor) -> tuple[Tensor, Tensor]:
        """Attend to cells ``[U, S, D]`` with queries ``[B, H]``.

        Returns the projected sums ``[B, H]`` and the attention ``[B, S]``. The scores' bias is left
        out: the softmax cancels it.
        """
        scores = additive_scores(self.cells(cells), self.query(query), self.weight, image_index)
        attention = scores.float().softmax(1)
        seen = self.dropout(attend(cells, attention, image_index))
        return self.growth(self.value(seen)), attention


class SAN(VqaHead):
    """K hops, each adding its result to the query (eq. 18 to 22).

    With ``whole``, the query starts with the mean cell, so that the hops only have to find what the
    mean does not tell.
    """

    features = "grid"
    has_attention = True

    def __init__(self, config: VqaHeadConfig) -> None:
        super().__init__(config)
        c = config
        self.cells = Standardize(c.channels, c.standardize)
        self.question = question_encoder(c.question, c.n_words, c.embedding, c.hidden, c.dropout)
        self.enter: nn.Module = nn.Identity()
        if self.question.width != c.hidden:
            self.enter = nn.Linear(self.question.width, c.hidden)
        self.whole = None
        if c.whole:
            self.whole = Glance(c.channels, c.hidden, c.whole_norm, c.image_dropout, c.growth)
        self.hops = nn.ModuleList(Hop(c) for _ in range(c.hops))
        self.fusion = Fusion(c.fusion, c.hidden, c.hidden, c.hidden, c.dropout)
        self.classifier = Classifier(self.fusion.width, c.classifier, c.n_answers, c.dropout)

    def forward(
        self, features: Tensor | None, image_index: Tensor, question: Tensor, length: Tensor
    ) -> Tensor:
        """Answer scores ``[B, A]`` from ``features`` ``[U, S, D]`` and questions ``[B, T]``."""
        return self.with_attention(features, image_index, question, length)[0]

    def with_attention(
        self, features: Tensor | None, image_index: Tensor, question: Tensor, length: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Answer scores, and each hop's attention ``[B, S]``."""
        cells = self.standardized(features)
        asked = self.enter(self.question(question, length))
        seen = torch.zeros_like(asked) if self.whole is None else self.whole(cells)[image_index]
        attentions = []
        for hop in self.hops:
            found, attention = hop(cells, asked + seen, image_index)
            seen = seen + found
            attentions.append(attention)
        return self.classifier(self.fusion(seen, asked)), attentions

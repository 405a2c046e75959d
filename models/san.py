"""``san``: Stacked Attention Networks for Image Question Answering (Yang et al., 2016)."""

import torch
from torch import Tensor, nn

from .additive_attention import additive_scores, attend, mean_cell
from .cells import BatchNorm, Standardize
from .config import VqaHeadConfig
from .dropout import CellDropout, Dropout
from .fusion import Classifier, Fusion
from .growth import growth
from .head import VqaHead
from .question import question_encoder


class Hop(nn.Module):
    """One look: ``h = tanh(W_v v + W_q u + b)``, ``p = softmax(w h)``, ``sum_s p_s v_s``.

    Equations 15 to 17 of the paper. The cells stand for their own projection (eq. 14): the look's
    result is projected instead, which is the same sum and 196 times cheaper.
    """

    def __init__(self, config: VqaHeadConfig) -> None:
        super().__init__()
        c = config
        # Cells and query are added: one bias does, where its gradient is summed over B, not U·S.
        self.cells = nn.Linear(c.channels, c.attention, bias=False)
        self.query = nn.Linear(c.hidden, c.attention)
        self.weight = nn.Parameter(torch.empty(c.attention).uniform_(-1, 1) / c.attention**0.5)
        self.cell_dropout = CellDropout(c.cell_dropout)
        self.dropout = Dropout(c.image_dropout)
        self.value = nn.Linear(c.channels, c.hidden)
        self.growth = growth(c.growth)

    def forward(self, cells: Tensor, query: Tensor, image_index: Tensor) -> tuple[Tensor, Tensor]:
        """Look at ``[U, S, D]`` for ``[B, H]``: what was seen ``[B, H]``, and where ``[B, S]``.

        The scores' bias is left out: the softmax does not see it.
        """
        scores = additive_scores(self.cells(cells), self.query(query), self.weight, image_index)
        where = self.cell_dropout(scores.float()).softmax(1)
        seen = self.dropout(attend(cells, where, image_index))
        return self.growth(self.value(seen)), where


class Glance(nn.Module):
    """The whole image before any look: the mean cell, normed if so configured, and projected."""

    def __init__(self, config: VqaHeadConfig) -> None:
        super().__init__()
        c = config
        # Means differ far less than cells do: a scale of their own lets them be heard, on a set
        # large enough that they cannot be learned by heart.
        self.norm: nn.Module = BatchNorm(c.channels) if c.whole_norm else nn.Identity()
        self.dropout = Dropout(0.2 if c.whole_norm else c.image_dropout)
        self.project = nn.Linear(c.channels, c.hidden)
        self.growth = growth(c.growth)

    def forward(self, cells: Tensor) -> Tensor:
        """``[U, S, D]`` to ``[U, H]``."""
        mean = self.norm(mean_cell(cells))
        projected: Tensor = self.growth(self.project(self.dropout(mean)))
        return projected


class SAN(VqaHead):
    """K hops, each adding what it saw to the query (eq. 18 to 22).

    With ``whole``, the mean cell is seen before the first hop, so that the hops need only find
    what the mean does not tell.
    """

    features = "grid"
    looks = True

    def __init__(self, config: VqaHeadConfig) -> None:
        super().__init__()
        c = config
        self.cells = Standardize(c.channels, c.standardize)
        self.question = question_encoder(c.question, c.n_words, c.embedding, c.hidden, c.dropout)
        self.enter: nn.Module = nn.Identity()
        if self.question.width != c.hidden:
            self.enter = nn.Linear(self.question.width, c.hidden)
        self.whole = Glance(c) if c.whole else None
        self.hops = nn.ModuleList(Hop(c) for _ in range(c.hops))
        self.fusion = Fusion(c.fusion, c.hidden, c.hidden, c.hidden, c.dropout)
        self.classifier = Classifier(self.fusion.width, c.classifier, c.n_answers, c.dropout)

    def forward(
        self, features: Tensor | None, image_index: Tensor, question: Tensor, length: Tensor
    ) -> Tensor:
        """Answer scores ``[B, A]`` from ``features`` ``[U, S, D]`` and questions ``[B, T]``."""
        return self.look(features, image_index, question, length)[0]

    def look(
        self, features: Tensor | None, image_index: Tensor, question: Tensor, length: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Answer scores, and each hop's map ``[B, S]``."""
        assert features is not None
        cells = self.cells(features)
        asked = self.enter(self.question(question, length))
        seen = torch.zeros_like(asked) if self.whole is None else self.whole(cells)[image_index]
        maps = []
        for hop in self.hops:
            found, where = hop(cells, asked + seen, image_index)
            seen = seen + found
            maps.append(where)
        return self.classifier(self.fusion(seen, asked)), maps

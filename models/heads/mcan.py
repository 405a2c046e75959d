"""``mcan``: Deep Modular Co-Attention Networks (Yu et al., 2019), their small form, for grids."""

import torch
from torch import Tensor, nn

from ..base import VqaHead
from ..config import VqaHeadConfig
from ..layers.cells import Standardize
from ..layers.dropout import Dropout
from ..layers.fusion import Classifier, Fusion
from ..layers.glance import Glance
from ..layers.packing import Words, packs, words_of
from ..layers.question import LSTMQuestion
from ..layers.transformer import (
    CellAttention,
    CellMemory,
    FeedForward,
    SelfAttention,
    spread_scores,
)


def think_layers(c: VqaHeadConfig) -> nn.ModuleList:
    """The layers on each word alone, one after each attention."""
    return nn.ModuleList(
        FeedForward(c.hidden, c.feed_forward, c.layer_dropout, c.layer_growth)
        for _ in range(c.layers)
    )


class Encoder(nn.Module):
    """An LSTM reads a question, then layers of self-attention (SA units, fig. 2a of the paper)."""

    def __init__(self, config: VqaHeadConfig) -> None:
        super().__init__()
        c = config
        self.words = LSTMQuestion(c.n_words, c.embedding, c.hidden, c.dropout)
        self.attend = nn.ModuleList(
            SelfAttention(c.hidden, c.heads, c.layer_dropout, c.layer_growth)
            for _ in range(c.layers)
        )
        self.think = think_layers(c)

    def forward(self, question: Tensor, length: Tensor, words: Words) -> Tensor:
        """Rows ``[P, H]`` of the words of questions ``[B, T]``."""
        states, row = self.words.read(question, length)
        x = states[words.by_text.pack(row[:, :, None]).squeeze(1)].float()
        for attend, think in zip(self.attend, self.think, strict=True):
            x = think(attend(x, words.by_text, words.mask))
        return x


class Summary(nn.Module):
    """The sum of a text's words by weights of their own (attentional reduction, eq. 10)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.score = nn.Sequential(
            nn.Linear(width, width // 2), nn.ReLU(), Dropout(dropout), nn.Linear(width // 2, 1)
        )

    def forward(self, x: Tensor, words: Words) -> tuple[Tensor, Tensor]:
        """Rows ``[P, H]`` to ``[B, H]`` and the weights ``[B, T]``."""
        x = self.norm(x)
        score = words.by_text.pad(self.score(x)).squeeze(2).float()
        weights = score.masked_fill(~words.mask, -torch.inf).softmax(1)
        padded = words.by_text.pad(x)
        return torch.bmm(weights[:, None].to(padded.dtype), padded).squeeze(1), weights


class MCAN(VqaHead):
    """Words attend to each other, then, in as many layers, to the cells of their image.

    In the paper's guided attention the image's regions attend to the words (fig. 2b). Here the
    words attend to the cells, which then do not depend on the question: an image's cells are
    encoded once for all of its questions. They attend to each other in the backbone only; blocks
    are pre-norm, and share one memory of the cells. With ``apart``, what the words find is not
    added to the words themselves, as regions are not in the paper: the fusion joins the two. With
    ``glance``, the mean cell stands beside it: of a few thousand questions words learn to attend
    too late.
    """

    features = "grid"
    has_attention = True
    map_name = "layer"

    def __init__(self, config: VqaHeadConfig) -> None:
        super().__init__(config)
        c = config
        self.cells = Standardize(c.channels, c.standardize)
        self.memory = CellMemory(c.channels, c.hidden, c.heads)
        self.question = Encoder(c)
        looks = [
            CellAttention(c.hidden, c.heads, c.layer_dropout, c.growth, c.image_dropout)
            for _ in range(c.layers)
        ]
        spread_scores(self.memory, looks)
        self.look = nn.ModuleList(looks)
        self.think = think_layers(c)
        self.asked = Summary(c.hidden, c.layer_dropout)
        self.seen = Summary(c.hidden, c.layer_dropout)
        self.apart = c.apart
        self.whole, image = None, c.hidden
        if c.glance:
            self.whole = Glance(c.channels, c.hidden, c.whole_norm, c.image_dropout, c.growth)
            image = 2 * c.hidden
        self.fusion = Fusion(c.fusion, image, c.hidden, c.hidden, c.dropout)
        self.classifier = Classifier(self.fusion.width, c.classifier, c.n_answers, c.dropout)

    def forward(
        self, features: Tensor | None, image_index: Tensor, question: Tensor, length: Tensor
    ) -> Tensor:
        """Answer scores ``[B, A]`` from ``features`` ``[U, S, D]`` and questions ``[B, T]``."""
        return self._run(features, image_index, question, length, attending=False)[0]

    def with_attention(
        self, features: Tensor | None, image_index: Tensor, question: Tensor, length: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Answer scores, and each layer's attention ``[B, S]``.

        It is averaged over the heads, and over the words by their weights in the summary.
        """
        return self._run(features, image_index, question, length, attending=True)

    def _run(
        self,
        features: Tensor | None,
        image_index: Tensor,
        question: Tensor,
        length: Tensor,
        attending: bool,
    ) -> tuple[Tensor, list[Tensor]]:
        cells = self.standardized(features)
        words = words_of(length, question.shape[1], image_index, len(cells))
        x, asked = self._ask(question, length, words)
        memory = self.memory(cells).of(words.image)
        attentions, rows = [], torch.zeros_like(x) if self.apart else x
        for look, think in zip(self.look, self.think, strict=True):
            assert isinstance(look, CellAttention)
            query = x + rows if self.apart else rows
            if attending:
                attentions.append(look.weights(query, words.by_image, memory))
            rows = think(rows + look.found(query, words.by_image, memory))
        seen, weights = self.seen(rows, words)
        if self.whole is not None:
            seen = torch.cat([seen, self.whole(cells)[image_index]], 1)
        maps = [
            torch.bmm(weights[:, None], words.by_text.pad(rows)).squeeze(1) for rows in attentions
        ]
        return self.classifier(self.fusion(seen, asked)), maps

    def _ask(self, question: Tensor, length: Tensor, words: Words) -> tuple[Tensor, Tensor]:
        """The words of all questions, ``[P, H]``, and their summaries ``[B, H]``.

        On the CPU, equal questions are read once.
        """
        if not packs(question.device):
            x = self.question(question, length, words)
            return x, self.asked(x, words)[0]
        rows = torch.cat([question * words.mask, length[:, None]], 1)
        distinct, which = rows.unique(  # type: ignore[no-untyped-call, unused-ignore]
            dim=0, return_inverse=True
        )
        distinct, length = distinct[:, :-1], distinct[:, -1]
        of_itself = torch.arange(len(length), device=length.device)
        own = words_of(length, question.shape[1], of_itself, len(length))
        x = self.question(distinct, length, own)
        asked, _ = self.asked(x, own)
        return words.by_text.pack(own.by_text.pad(x)[which]), asked[which]

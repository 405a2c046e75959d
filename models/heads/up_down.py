"""``up-down``: the two-LSTM decoder of Bottom-Up and Top-Down Attention (Anderson et al., 2018)."""

import torch
from torch import Tensor, nn

from ..base import CaptionHead, Encoded, State
from ..config import CaptionHeadConfig
from ..layers.additive_attention import additive_scores, attend, mean_cell
from ..layers.cells import Standardize
from ..layers.dropout import Dropout
from ..layers.recurrent import lstm_step
from ..layers.shared_cells import SharedCells


class UpDown(CaptionHead):
    """One LSTM decides where to look, a second one what to say (section 3.2), on grid cells.

    Cells are projected to the decoder's width once an image, and attended to there.
    """

    features = "grid"
    has_attention = True

    def __init__(self, config: CaptionHeadConfig) -> None:
        super().__init__(config)
        c = config
        self.cells = Standardize(c.channels, c.standardize)
        self.project = nn.Sequential(nn.Linear(c.channels, c.hidden), nn.ReLU(), Dropout(c.dropout))
        self.embed = nn.Embedding(c.n_words, c.embedding)
        self.word_dropout = Dropout(c.word_dropout)
        self.word_gates = nn.Linear(c.embedding, 4 * c.hidden)
        self.mean_gates = nn.Linear(c.hidden, 4 * c.hidden, bias=False)
        self.look_gates = nn.Linear(2 * c.hidden, 4 * c.hidden, bias=False)
        self.attend_cells = nn.Linear(c.hidden, c.attention, bias=False)
        self.attend_state = nn.Linear(c.hidden, c.attention)
        self.weight = nn.Parameter(torch.empty(c.attention).uniform_(-1, 1) / c.attention**0.5)
        self.tell_gates = nn.Linear(3 * c.hidden, 4 * c.hidden)
        self.dropout = Dropout(c.dropout)
        self.out = nn.Linear(c.hidden, c.n_words)

    def encode(self, features: Tensor) -> Encoded:
        """See :class:`CaptionHead`; ``mean`` is the mean cell's part of the first gates."""
        cells = self.project(self.standardized(features))
        projected, shared = SharedCells(self.attend_cells(cells)), SharedCells(cells)
        return Encoded(shared, projected, self.mean_gates(mean_cell(shared)))

    def initial(self, encoded: Encoded, image_index: Tensor) -> State:
        """See :class:`CaptionHead`: zeros."""
        zero = torch.zeros(len(image_index), self.config.hidden, device=image_index.device)
        return zero, zero, zero, zero

    def read(self, words: Tensor) -> Tensor:
        """See :class:`CaptionHead`: the words' part of the first gates."""
        gates: Tensor = self.word_gates(self.word_dropout(self.embed(words)))
        return gates

    def prepare(self, encoded: Encoded, image_index: Tensor, state: State) -> State:
        """See :class:`CaptionHead`: the first gates without the word."""
        looking, looking_cell, telling, telling_cell = state
        gates = self.look_gates(torch.cat([telling, looking], 1)) + encoded.mean[image_index]
        return gates, looking_cell, telling, telling_cell

    def finish(
        self, encoded: Encoded, image_index: Tensor, prepared: State, word: Tensor
    ) -> tuple[Tensor, State, Tensor]:
        """See :class:`CaptionHead`: eq. 2 to 6 of the paper."""
        gates, looking_cell, telling, telling_cell = prepared
        assert encoded.cells is not None
        assert encoded.projected is not None
        looking, looking_cell = lstm_step(gates + word, looking_cell)
        query = self.attend_state(looking)
        where = (
            additive_scores(encoded.projected, query, self.weight, image_index).float().softmax(1)
        )
        seen = attend(encoded.cells, where, image_index)  # [B, H]
        told = torch.cat([seen.to(looking.dtype), looking, telling], 1)
        telling, telling_cell = lstm_step(self.tell_gates(told), telling_cell)
        return telling, (looking, looking_cell, telling, telling_cell), where

    def scores(self, output: Tensor) -> Tensor:
        """See :class:`CaptionHead`."""
        scores: Tensor = self.out(self.dropout(output))
        return scores

"""``show-attend-tell``: Show, Attend and Tell (Xu et al., 2015), with soft attention."""

import torch
from torch import Tensor, nn

from ..base import CaptionHead, Encoded, State
from ..config import CaptionHeadConfig
from ..layers.additive_attention import SharedCells, additive_scores, attend, mean_cell
from ..layers.cells import Standardize
from ..layers.dropout import Dropout
from ..layers.recurrent import lstm_step


class ShowAttendTell(CaptionHead):
    """Every step attends to the cells with its state, and reads a word and the attended cells.

    Equations 1 to 9 and section 4.2.1 of the paper: additive attention, the gating scalar beta, the
    initial state from the mean encoding.
    """

    features = "grid"
    has_attention = True

    def __init__(self, config: CaptionHeadConfig) -> None:
        super().__init__(config)
        c = config
        self.cells = Standardize(c.channels, c.standardize)
        self.enter = nn.Linear(c.channels, 2 * c.hidden)
        self.embed = nn.Embedding(c.n_words, c.embedding)
        self.word_dropout = Dropout(c.word_dropout)
        self.attend_cells = nn.Linear(c.channels, c.attention, bias=False)
        self.attend_state = nn.Linear(c.hidden, c.attention)
        self.weight = nn.Parameter(torch.empty(c.attention).uniform_(-1, 1) / c.attention**0.5)
        self.beta = nn.Linear(c.hidden, 1)
        self.word_gates = nn.Linear(c.embedding, 4 * c.hidden)
        self.seen_gates = nn.Linear(c.channels, 4 * c.hidden, bias=False)
        self.state_gates = nn.Linear(c.hidden, 4 * c.hidden, bias=False)
        self.dropout = Dropout(c.dropout)
        self.out = nn.Linear(c.hidden, c.n_words)

    def encode(self, features: Tensor) -> Encoded:
        """See :class:`CaptionHead`."""
        cells = self.standardized(features)
        attended = SharedCells(cells) if cells.requires_grad else cells
        return Encoded(attended, SharedCells(self.attend_cells(cells)), mean_cell(cells))

    def initial(self, encoded: Encoded, image_index: Tensor) -> State:
        """See :class:`CaptionHead`: eq. "c_0 = f_init,c(mean a)" of section 3.1.2."""
        hidden, cell = torch.tanh(self.enter(encoded.mean)).float().chunk(2, 1)
        return hidden[image_index], cell[image_index]

    def read(self, words: Tensor) -> Tensor:
        """See :class:`CaptionHead`: the words' part of the gates."""
        gates: Tensor = self.word_gates(self.word_dropout(self.embed(words)))
        return gates

    def prepare(self, encoded: Encoded, image_index: Tensor, state: State) -> State:
        """See :class:`CaptionHead`: attention depends on the state alone (eq. 4-6, 4.2.1)."""
        hidden, cell = state
        assert encoded.cells is not None
        assert encoded.projected is not None
        query = self.attend_state(hidden)
        scores = additive_scores(encoded.projected, query, self.weight, image_index)
        attention = scores.float().softmax(1)
        seen = attend(encoded.cells, attention, image_index)  # [B, D]
        seen = torch.sigmoid(self.beta(hidden)) * seen
        return self.seen_gates(seen) + self.state_gates(hidden), cell, attention

    def finish(
        self, encoded: Encoded, image_index: Tensor, prepared: State, word: Tensor
    ) -> tuple[Tensor, State, Tensor]:
        """See :class:`CaptionHead`: eq. 1 to 3."""
        gates, cell, attention = prepared
        hidden, cell = lstm_step(gates + word, cell)
        return hidden, (hidden, cell), attention

    def scores(self, output: Tensor) -> Tensor:
        """See :class:`CaptionHead`."""
        scores: Tensor = self.out(self.dropout(output))
        return scores

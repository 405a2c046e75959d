"""``up-down``: the two-LSTM decoder of Bottom-Up and Top-Down Attention (Anderson et al., 2018)."""

import torch
from torch import Tensor, nn

from ..base import CaptionHead, Encoded, State
from ..config import CaptionHeadConfig
from ..layers.additive_attention import SharedCells, additive_scores, attend, mean_cell
from ..layers.cells import Standardize
from ..layers.dropout import Dropout
from ..layers.recurrent import lstm_step


class UpDown(CaptionHead):
    """An attention LSTM (1) and a language LSTM (2), on grid cells (section 3.2).

    An image's cells are projected to the decoder's width once, and attended to there.
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
        hidden_1, cell_1, hidden_2, cell_2 = state
        gates = self.look_gates(torch.cat([hidden_2, hidden_1], 1)) + encoded.mean[image_index]
        return gates, cell_1, hidden_2, cell_2

    def finish(
        self, encoded: Encoded, image_index: Tensor, prepared: State, word: Tensor
    ) -> tuple[Tensor, State, Tensor]:
        """See :class:`CaptionHead`: eq. 2 to 6 of the paper."""
        gates, cell_1, hidden_2, cell_2 = prepared
        assert encoded.cells is not None
        assert encoded.projected is not None
        hidden_1, cell_1 = lstm_step(gates + word, cell_1)
        query = self.attend_state(hidden_1)
        scores = additive_scores(encoded.projected, query, self.weight, image_index)
        attention = scores.float().softmax(1)
        seen = attend(encoded.cells, attention, image_index)  # [B, H]
        inputs = torch.cat([seen.to(hidden_1.dtype), hidden_1, hidden_2], 1)
        hidden_2, cell_2 = lstm_step(self.tell_gates(inputs), cell_2)
        return hidden_2, (hidden_1, cell_1, hidden_2, cell_2), attention

    def scores(self, output: Tensor) -> Tensor:
        """See :class:`CaptionHead`."""
        scores: Tensor = self.out(self.dropout(output))
        return scores

"""``rnn-decoder``: an LSTM that sees the image once, before the first word."""

import torch
from torch import Tensor, nn

from ..base import CaptionHead, Encoded, State, TeacherForcedOutput
from ..config import CaptionHeadConfig
from ..layers.cells import BatchNorm, Standardize
from ..layers.dropout import Dropout
from ..layers.padding import next_words, shapes_are_fixed
from ..layers.question import token_mask


class RNNDecoder(CaptionHead):
    """The mean cell gives the initial state, by Linear and BatchNorm; the steps read words only."""

    features = "pooled"

    def __init__(self, config: CaptionHeadConfig) -> None:
        super().__init__(config)
        c = config
        self.cells = Standardize(c.channels, c.standardize, unit=True)
        self.enter = nn.ModuleList(nn.Linear(c.channels, c.hidden) for _ in range(2))
        self.norm = nn.ModuleList(BatchNorm(c.hidden) for _ in range(2))
        self.embed = nn.Embedding(c.n_words, c.embedding)
        self.word_dropout = Dropout(c.word_dropout)
        self.lstm = nn.LSTM(c.embedding, c.hidden, batch_first=True)
        self.dropout = Dropout(c.dropout)
        self.out = nn.Linear(c.hidden, c.n_words)

    def encode(self, features: Tensor) -> Encoded:
        """See :class:`CaptionHead`."""
        return Encoded(None, None, self.standardized(features))

    def initial(self, encoded: Encoded, image_index: Tensor) -> State:
        """See :class:`CaptionHead`."""
        state = []
        for linear, norm in zip(self.enter, self.norm, strict=True):
            part = norm(linear(encoded.mean).float())
            state.append(part[image_index])
        return tuple(state)

    def read(self, words: Tensor) -> Tensor:
        """See :class:`CaptionHead`."""
        vectors: Tensor = self.word_dropout(self.embed(words))
        return vectors

    def prepare(self, encoded: Encoded, image_index: Tensor, state: State) -> State:
        """See :class:`CaptionHead`: nothing."""
        return state

    def finish(
        self, encoded: Encoded, image_index: Tensor, prepared: State, word: Tensor
    ) -> tuple[Tensor, State, None]:
        """See :class:`CaptionHead`."""
        hidden, cell = (part[None].to(word.dtype) for part in prepared)
        output, (hidden, cell) = self.lstm(word[:, None], (hidden, cell))
        return output[:, 0], (hidden[0], cell[0]), None

    def forward(
        self, features: Tensor, image_index: Tensor, tokens: Tensor, length: Tensor
    ) -> TeacherForcedOutput:
        """See :class:`CaptionHead`: the words are known, so the LSTM runs in one call."""
        if self.training and self.sampling:
            return super().forward(features, image_index, tokens, length)
        hidden, cell = self.initial(self.encode(features), image_index)
        words = self.read(tokens[:, :-1])
        output, _ = self.lstm(words, (hidden[None].to(words.dtype), cell[None].to(words.dtype)))
        if shapes_are_fixed():
            target = next_words(tokens, length).flatten()
            caption = torch.arange(len(target), device=tokens.device) // words.shape[1]
            return TeacherForcedOutput(self.scores(output.flatten(0, 1)), target, caption, None)
        # The LSTM runs to the right: words of a caption cannot depend on the pads behind them.
        real = token_mask(length.cpu() - 1, words.shape[1]).flatten().nonzero().squeeze(1)
        real = real.to(tokens.device, non_blocking=True)
        scores = self.scores(output.flatten(0, 1).index_select(0, real))
        target = tokens[:, 1:].flatten().index_select(0, real)
        return TeacherForcedOutput(scores, target, real // words.shape[1], None)

    def scores(self, output: Tensor) -> Tensor:
        """See :class:`CaptionHead`."""
        scores: Tensor = self.out(self.dropout(output))
        return scores

"""Words to the question's vector. No encoder ever reads a pad."""

import torch
from torch import Tensor, nn

from .dropout import Dropout
from .padding import shapes_are_fixed
from .prefixes import find_prefixes, read_prefixes


def token_mask(length: Tensor, n_tokens: int) -> Tensor:
    """Which positions hold words: bool ``[B, T]`` from lengths ``[B]``."""
    positions = torch.arange(n_tokens, device=length.device)
    return positions.lt(length[:, None])


class MeanQuestion(nn.Module):
    """The mean of a question's word vectors: ``[B, T]`` int64 and ``[B]`` to ``[B, E]``."""

    def __init__(self, n_words: int, embedding: int, dropout: float) -> None:
        super().__init__()
        # One pass from words to their mean: no vectors [B, T, E] in memory.
        self.embed = nn.EmbeddingBag(n_words, embedding, mode="mean", padding_idx=0)
        self.dropout = Dropout(dropout)
        self.width = embedding

    def forward(self, question: Tensor, length: Tensor) -> Tensor:
        """Encode questions."""
        length = length.to(question.device, non_blocking=True)
        words = question * token_mask(length, question.shape[1])  # <pad> is word 0
        vectors: Tensor = self.dropout(
            self._mean_of(words) if shapes_are_fixed() else self.embed(words)
        )
        return vectors

    def _mean_of(self, words: Tensor) -> Tensor:
        """What ``embed`` gives; its gradient's shapes depend on none of the words."""
        vectors = nn.functional.embedding(words, self.embed.weight, padding_idx=0)
        return vectors.sum(1) / (words != 0).sum(1, keepdim=True).clamp_min(1)


class LSTMQuestion(nn.Module):
    """An LSTM over word vectors, and its state at the last *word*.

    The LSTM runs from left to right, so no state at a word depends on the pads behind it. On the
    CPU, common prefixes are read once (see :mod:`.prefixes`); on a GPU, where finding them would
    make the host wait, and in batches of fixed shapes all questions are read side by side.
    """

    def __init__(self, n_words: int, embedding: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Embedding(n_words, embedding)
        self.dropout = Dropout(dropout)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        self.width = hidden

    def read(self, question: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """The states ``[P, H]``, and the row of each word's state, int64 ``[B, T]``.

        ``question`` int64 ``[B, T]``, ``length`` int64 ``[B]``; the row at a pad is any.
        """
        if question.device.type == "cpu" and not shapes_are_fixed():
            prefixes = find_prefixes(question, length)
            vectors = self.vectors(prefixes.word)
            return read_prefixes(self.lstm, vectors, prefixes), prefixes.row
        states, _ = self.lstm(self.vectors(question))
        row = torch.arange(question.numel(), device=question.device).view_as(question)
        return states.flatten(0, 1), row

    def vectors(self, words: Tensor) -> Tensor:
        """Word vectors ``[..., E]``; tanh after the embedding: Kazemi and Elqursh (2017), 3.2."""
        vectors: Tensor = self.dropout(torch.tanh(self.embed(words)))
        return vectors

    def forward(self, question: Tensor, length: Tensor) -> Tensor:
        """The state at the last word, ``[B, H]``."""
        states, row = self.read(question, length)
        length = length.to(question.device, non_blocking=True)
        return states[row.gather(1, length[:, None] - 1).squeeze(1)]


class AttendedQuestion(nn.Module):
    """A softmax attention over the LSTM's states: ``[B, T]`` and ``[B]`` to ``[B, H]``."""

    def __init__(self, n_words: int, embedding: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.lstm = LSTMQuestion(n_words, embedding, hidden, dropout)
        self.score = nn.Linear(hidden, 1)
        self.width = hidden

    def forward(self, question: Tensor, length: Tensor) -> Tensor:
        """The attention-weighted sum of the states."""
        states, row = self.lstm.read(question, length)
        length = length.to(question.device, non_blocking=True)
        score = self.score(states).squeeze(-1).float()[row]  # [B, T]
        score = score.masked_fill(~token_mask(length, question.shape[1]), -torch.inf)
        return torch.bmm(score.softmax(1)[:, None].to(states.dtype), states[row]).squeeze(1)


def question_encoder(
    kind: str, n_words: int, embedding: int, hidden: int, dropout: float
) -> "MeanQuestion | LSTMQuestion":
    """The encoder that a head's ``question`` setting names: ``mean`` or ``lstm``."""
    if kind == "mean":
        return MeanQuestion(n_words, embedding, dropout)
    return LSTMQuestion(n_words, embedding, hidden, dropout)

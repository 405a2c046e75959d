"""Words to the question's vector. No encoder ever reads a pad."""

import torch
from torch import Tensor, nn


def token_mask(length: Tensor, n_tokens: int) -> Tensor:
    """Which positions hold words: bool ``[B, T]`` from lengths ``[B]``."""
    places = torch.arange(n_tokens, device=length.device)
    return places.lt(length[:, None])


def unique_questions(question: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A batch's different questions, so that an encoder reads each of them once.

    ``[B, T]`` and ``[B]`` to ``[Q, T]``, ``[Q]`` and the place of each question among them, int64
    ``[B]``. People ask the same things of many pictures: about one question in eight of a VQA v2
    batch repeats another, nearly all of easy-vqa's do. On a GPU, where looking for repeats would
    make the host wait, the questions are handed back as they are.
    """
    if question.device.type != "cpu":
        return question, length, torch.arange(len(length), device=length.device)
    words = question * token_mask(length, question.shape[1])
    unique, asked = torch.unique(words, dim=0, return_inverse=True)
    return unique, length.new_zeros(len(unique)).scatter(0, asked, length), asked


class MeanQuestion(nn.Module):
    """The mean of a question's word vectors: ``[B, T]`` int64 and ``[B]`` to ``[B, E]``."""

    def __init__(self, n_words: int, embedding: int, dropout: float) -> None:
        super().__init__()
        # One pass from words to their mean: the vectors [B, T, E] are never written down.
        self.embed = nn.EmbeddingBag(n_words, embedding, mode="mean", padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        self.width = embedding

    def forward(self, question: Tensor, length: Tensor) -> Tensor:
        """Encode questions."""
        words = question * token_mask(length, question.shape[1])  # <pad> is word 0
        vectors: Tensor = self.dropout(self.embed(words))
        return vectors


class LSTMQuestion(nn.Module):
    """An LSTM over word vectors, and its state at the last *word*.

    ``[B, T]`` int64 and ``[B]`` to the states ``[B, T, H]`` and the last one ``[B, H]``. The LSTM
    runs from left to right, so the state at a question's last word cannot depend on the pads
    behind it; states at pads are zeroed.
    """

    def __init__(self, n_words: int, embedding: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Embedding(n_words, embedding)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        self.width = hidden

    def states(self, question: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """All states and the last one."""
        # tanh after the embedding: Kazemi and Elqursh (2017), section 3.2.
        states, _ = self.lstm(self.dropout(torch.tanh(self.embed(question))))
        states = states * token_mask(length, question.shape[1])[:, :, None]
        last = states[torch.arange(len(length), device=length.device), length - 1]
        return states, last

    def forward(self, question: Tensor, length: Tensor) -> Tensor:
        """The state at the last word."""
        question, length, asked = unique_questions(question, length)
        return self.states(question, length)[1][asked]


class AttendedQuestion(nn.Module):
    """A softmax attention over the LSTM's states: ``[B, T]`` and ``[B]`` to ``[B, H]``."""

    def __init__(self, n_words: int, embedding: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.lstm = LSTMQuestion(n_words, embedding, hidden, dropout)
        self.score = nn.Linear(hidden, 1)
        self.width = hidden

    def forward(self, question: Tensor, length: Tensor) -> Tensor:
        """The states' mean, weighted by what each word matters."""
        question, length, asked = unique_questions(question, length)
        states, _ = self.lstm.states(question, length)
        score = self.score(states).squeeze(-1).float()
        score = score.masked_fill(~token_mask(length, question.shape[1]), -torch.inf)
        return torch.bmm(score.softmax(1)[:, None].to(states.dtype), states).squeeze(1)[asked]


def question_encoder(
    kind: str, n_words: int, embedding: int, hidden: int, dropout: float
) -> "MeanQuestion | LSTMQuestion":
    """The encoder that a head's ``question`` setting names: ``mean`` or ``lstm``."""
    if kind == "mean":
        return MeanQuestion(n_words, embedding, dropout)
    return LSTMQuestion(n_words, embedding, hidden, dropout)

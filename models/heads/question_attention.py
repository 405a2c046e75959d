"""``question-attention``: the ``lstm`` head with an attention over the question's words."""

from ..config import VqaHeadConfig
from ..layers.question import AttendedQuestion
from .lstm import LSTMHead


class QuestionAttention(LSTMHead):
    """All of the LSTM's states, weighted by a softmax, instead of its last one."""

    @staticmethod
    def make_question(c: VqaHeadConfig) -> AttendedQuestion:
        """The encoder of the question."""
        return AttendedQuestion(c.n_words, c.embedding, c.hidden, c.dropout)

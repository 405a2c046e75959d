"""Every head by the name that the command line knows it by."""

from .head import Head
from .lstm import LSTMHead
from .mean_embed import MeanEmbed
from .question_attention import QuestionAttention
from .question_only import QuestionOnly
from .san import SAN

HEADS: dict[str, type[Head]] = {
    "question-only": QuestionOnly,
    "mean-embed": MeanEmbed,
    "lstm": LSTMHead,
    "question-attention": QuestionAttention,
    "san": SAN,
}

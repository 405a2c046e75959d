"""Every head by the name that the command line knows it by."""

from .head import Head
from .lstm import LSTMHead
from .mean_embed import MeanEmbed
from .question_attention import QuestionAttention
from .question_only import QuestionOnly
from .rnn_decoder import RNNDecoder
from .san import SAN
from .show_attend_tell import ShowAttendTell
from .up_down import UpDown

HEADS: dict[str, type[Head]] = {
    "question-only": QuestionOnly,
    "mean-embed": MeanEmbed,
    "lstm": LSTMHead,
    "question-attention": QuestionAttention,
    "san": SAN,
    "rnn-decoder": RNNDecoder,
    "show-attend-tell": ShowAttendTell,
    "up-down": UpDown,
}

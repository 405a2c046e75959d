"""Every head by its name on the command line."""

from .base import Head
from .heads.lstm import LSTMHead
from .heads.mcan import MCAN
from .heads.mean_embed import MeanEmbed
from .heads.question_attention import QuestionAttention
from .heads.question_only import QuestionOnly
from .heads.rnn_decoder import RNNDecoder
from .heads.san import SAN
from .heads.show_attend_tell import ShowAttendTell
from .heads.transformer_decoder import TransformerDecoder
from .heads.up_down import UpDown

HEADS: dict[str, type[Head]] = {
    "question-only": QuestionOnly,
    "mean-embed": MeanEmbed,
    "lstm": LSTMHead,
    "question-attention": QuestionAttention,
    "san": SAN,
    "mcan": MCAN,
    "rnn-decoder": RNNDecoder,
    "show-attend-tell": ShowAttendTell,
    "up-down": UpDown,
    "transformer-decoder": TransformerDecoder,
}

"""All that builds a head: sizes that the data set, and sizes that one chooses."""

from dataclasses import dataclass


@dataclass(frozen=True)
class VqaHeadConfig:
    """The shape of a VQA head. Widths count units, ``dropout`` is a probability."""

    n_words: int  # V, the vocabulary with <pad> and <unk>
    n_answers: int  # A
    channels: int  # D, of one grid cell
    embedding: int = 300  # width of a word vector
    hidden: int = 512  # width of the question's and the image's vector before the fusion
    attention: int = 512  # K, the width of additive attention
    hops: int = 2  # attention hops of a stacked attention network
    classifier: int = 1024  # width of the layer before the answers
    dropout: float = 0.5
    fusion: str = "multiply"  # or "concat", or "add"
    question: str = "lstm"  # or "mean": the question encoder of heads that have a choice
    standardize: bool = True  # whether channels are brought to mean 0 and deviation 1
    whole: bool = True  # whether a stacked attention network starts with the mean cell
    apart: bool = True  # whether mcan keeps what its words find apart from the words
    glance: bool = False  # whether mcan has the mean cell beside what its words find
    whole_norm: bool = True  # whether a batch norm follows that mean
    growth: float = 1.0  # the learned factor that the image branch starts with; 1: no factor
    image_dropout: float = 0.0  # of the channels of the pooled or attended image
    layers: int = 2  # of a transformer
    heads: int = 8  # of its attention; ``hidden`` is a multiple of them, and of 4
    feed_forward: int = 1024  # width of the inner layer of its blocks
    layer_dropout: float = 0.1  # of what each of its branches adds
    layer_growth: float = 1.0  # ``growth``, of its branches that do not read the image


@dataclass(frozen=True)
class CaptionHeadConfig:
    """The shape of a captioning decoder. Widths count units, ``dropout`` is a probability."""

    n_words: int  # V, the vocabulary with <pad>, <unk>, <start> and <end>
    channels: int  # D, of one grid cell
    embedding: int = 512
    hidden: int = 512
    attention: int = 512  # K
    dropout: float = 0.5  # before the output layer
    word_dropout: float = 0.0  # of the word vectors
    sampling: float = 0.0  # probability of feeding back a sampled word while training
    standardize: bool = True
    layers: int = 2  # of a transformer
    heads: int = 8  # of its attention; ``hidden`` is a multiple of them, and of 4
    feed_forward: int = 1024  # width of the inner layer of its blocks
    layer_dropout: float = 0.1  # of what each of its branches adds

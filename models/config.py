"""What it takes to build a head again: sizes that the data fix, and sizes that one chooses."""

from dataclasses import dataclass


@dataclass(frozen=True)
class VqaHeadConfig:
    """The shape of a VQA head. Widths count units, ``dropout`` is a probability."""

    n_words: int  # V, the vocabulary with <pad> and <unk>
    n_answers: int  # A
    channels: int  # D, of one grid cell
    embedding: int = 300  # width of a word vector
    hidden: int = 512  # width of the question's and the image's vector before they are joined
    attention: int = 512  # K, the width in which image and question meet
    hops: int = 2  # how often a stacked attention network looks
    classifier: int = 1024  # width of the layer before the answers
    dropout: float = 0.5
    fusion: str = "multiply"  # or "concat", or "add": how the two vectors become one
    question: str = "lstm"  # or "mean": how words become a vector, where a head may choose
    standardize: bool = True  # whether channels are brought to mean 0 and deviation 1
    whole: bool = True  # whether a stacked attention network begins with the whole image
    whole_norm: bool = True  # whether that is brought to deviation 1 once more
    growth: float = 1.0  # the factor that what was seen begins with, learned; 1: none
    image_dropout: float = 0.0  # of the channels of what was seen
    cell_dropout: float = 0.0  # of whole cells that an attention may look at


@dataclass(frozen=True)
class CaptionHeadConfig:
    """The shape of a captioning decoder. Widths count units, ``dropout`` is a probability."""

    n_words: int  # V, the vocabulary with <pad>, <unk>, <start> and <end>
    channels: int  # D, of one grid cell
    embedding: int = 512
    hidden: int = 512
    attention: int = 512  # K
    dropout: float = 0.5  # before the words' scores
    word_dropout: float = 0.0  # of the word vectors
    sampling: float = 0.0  # probability of feeding back a drawn word while training
    standardize: bool = True

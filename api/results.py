"""What a run says of a photo: its answer or its caption, where it looked, and all of it drawn."""

import io
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..predict.inference import AttentionMap, Prediction
from ..predict.photo import Photo

Grids = NDArray[np.float32]


@dataclass(frozen=True)
class Asked:
    """A photo, how it became a square, the run in words and the question, if there was one."""

    photo: Photo
    crop: str
    run: str
    question: str = ""


@dataclass(frozen=True)
class Result:
    """What answers and captions have in common.

    Attributes:
        text: the most probable answer, or the caption as a sentence.
        attention: float32 [K, H, W], where the head looked: one grid for each of its K hops, or for
            each word of a caption, row by row from the top of the upright photo; each sums to 1.
            None from a head without attention.
    """

    text: str
    attention: Grids | None = field(repr=False)
    _prediction: Prediction = field(repr=False)
    _asked: Asked = field(repr=False)

    def __str__(self) -> str:
        return self.text

    def picture(self) -> Image.Image:
        """The figure that ``explain`` draws: the photo, where the head looked, what it says."""
        return Image.open(io.BytesIO(self._repr_png_()))

    def _repr_png_(self) -> bytes:
        """The same as a PNG file, which a notebook shows."""
        from ..explain.figure import FigureInput, draw_figure  # and matplotlib, when it is needed

        asked = self._asked
        source = FigureInput(asked.photo.picture, asked.crop, asked.run)
        return draw_figure(source, asked.question, self._prediction)


@dataclass(frozen=True)
class Answer(Result):
    """A VQA run's answer to a question; ``text`` is the most probable one.

    Attributes:
        probability: that of ``text``, 0 to 1.
        answers: the most probable answers with their probabilities, the best first.
        unknown: words of the question that are not in the run's vocabulary.
        n_unread: words and marks at the end of the question that were not read: it is too long.
    """

    probability: float
    answers: list[tuple[str, float]]
    unknown: list[str]
    n_unread: int


@dataclass(frozen=True)
class Caption(Result):
    """A captioning run's description of a photo; ``text`` is the sentence.

    Attributes:
        words: its words, each with its probability after those before it.
    """

    words: list[tuple[str, float]]


def grids(attention: list[AttentionMap]) -> Grids | None:
    """Maps [S] as grids [K, H, W]; None if there are none."""
    if not attention:
        return None
    side = math.isqrt(attention[0].size)
    return np.stack(attention).reshape(len(attention), side, side)

"""A prediction for one photo, with its attention, drawn as a figure."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from matplotlib.axes import Axes
from PIL import Image

from ..predict.inference import AnswerPrediction, CaptionPrediction, Prediction
from .canvas import INK, QUIET, Canvas, fit, line_height, wrap
from .overlay import FULL_MEANS, heat_scale, overlay

ACCENT, PALE, TRACK, WARN = "#0072b2", "#c8d7e1", "#eef2f5", "#b3261e"
MARGIN, GAP = 0.35, 0.18  # inches
BARS_WIDTH = 3.0  # inches
LONGEST_LABEL = 22  # letters of an answer
N_COLUMNS = 6  # pictures in a row, at most
SMALL = 8  # points
SCALE_SIZE, SCALE_ROW = (1.6, 0.12), 0.24  # inches
KEY = f"Full attention: {FULL_MEANS}."


@dataclass(frozen=True)
class FigureInput:
    """The photo of a figure, the crop that made it a square, and what is said below.

    ``footer``: about the run, its network and the photo; ``warning``: what a reader must know.
    """

    picture: Image.Image
    crop: str
    footer: str
    warning: str = ""

    def overlay(self, attention: Any) -> Image.Image:
        """The photo with attention over it."""
        return overlay(self.picture, attention, self.crop)


@dataclass(frozen=True)
class Foot:
    """What stands below a figure: with attention its scale, then lines, each with its colour."""

    lines: list[tuple[str, str]]
    has_scale: bool

    @staticmethod
    def of(source: FigureInput, width: float, prediction: Prediction) -> "Foot":
        """The foot of a figure whose content is so many inches wide."""
        has_scale = bool(prediction.attention)
        key = KEY if has_scale else ""
        if isinstance(prediction, CaptionPrediction) and has_scale:
            key += " Percent: the word's probability."
        parts = ((key, QUIET), (source.warning, WARN), (source.footer, QUIET))
        lines = [(line, ink) for text, ink in parts if text for line in wrap(text, width, SMALL)]
        return Foot(lines, has_scale)

    @property
    def height(self) -> float:
        """In inches, with the margin below."""
        return SCALE_ROW * self.has_scale + len(self.lines) * line_height(SMALL) + MARGIN

    def draw(self, canvas: Canvas, top: float) -> None:
        """Draw it from ``top`` down."""
        if self.has_scale:
            canvas.text(MARGIN, top, "no attention", SMALL, QUIET)
            canvas.picture(heat_scale(), MARGIN + 0.75, top + 0.02, SCALE_SIZE)
            canvas.text(MARGIN + 0.83 + SCALE_SIZE[0], top, "full", SMALL, QUIET)
            top += SCALE_ROW
        for line, ink in self.lines:
            canvas.text(MARGIN, top, line, SMALL, ink)
            top += line_height(SMALL)


def draw_figure(source: FigureInput, question: str, prediction: Prediction) -> bytes:
    """The figure of any prediction, as a PNG file."""
    if isinstance(prediction, AnswerPrediction):
        return draw_answer(source, question, prediction)
    if prediction.attention:
        return draw_caption(source, prediction)
    return draw_plain_caption(source, prediction)


def draw_answer(source: FigureInput, question: str, prediction: AnswerPrediction) -> bytes:
    """The question, the photo, each map of the attention and the top answers, as a PNG file."""
    size = fit(source.picture, 3.2, 3.2)
    panels = ["photo", *prediction.labels]
    width = 2 * MARGIN + len(panels) * (size[0] + GAP) + BARS_WIDTH
    inner = width - 2 * MARGIN
    lines = wrap(question, inner, 15)
    top = MARGIN + len(lines) * line_height(15) + 0.3
    foot, below = Foot.of(source, inner, prediction), top + max(size[1], 2.0) + 0.14
    canvas = Canvas(width, below + foot.height)
    canvas.text(MARGIN, MARGIN, "\n".join(lines), 15, bold=True)
    images = [source.picture, *(source.overlay(one) for one in prediction.attention)]
    for i, (name, image) in enumerate(zip(panels, images, strict=True)):
        left = MARGIN + i * (size[0] + GAP)
        if len(panels) > 1:
            canvas.text(left, top - 0.2, name, 9, QUIET)
        canvas.picture(image, left, top, size)
    left = width - MARGIN - BARS_WIDTH
    canvas.text(left, top - 0.2, "probability of each answer", 9, QUIET)
    draw_bars(canvas.axes(left, top, BARS_WIDTH, max(size[1], 2.0)), prediction.answers)
    foot.draw(canvas, below)
    return canvas.png()


def draw_bars(axes: Axes, answers: Sequence[tuple[str, float]]) -> None:
    """A horizontal bar for each probability, the best first, under its answer."""
    axes.set_xlim(0, 1)
    axes.set_ylim(max(5, len(answers)) - 0.1, -0.1)
    for row, (answer, probability) in enumerate(answers):
        best = row == 0
        color = INK if best else QUIET
        weight = "bold" if best else "normal"
        label = textwrap.shorten(answer, LONGEST_LABEL, placeholder="…") or answer[:LONGEST_LABEL]
        style: dict[str, Any] = {
            "fontsize": 11,
            "color": color,
            "fontweight": weight,
            "va": "center",
        }
        axes.text(0, row + 0.28, label, parse_math=False, **style)
        axes.text(1, row + 0.28, f"{100 * probability:.1f} %", ha="right", **style)
        axes.barh(row + 0.62, 1, height=0.16, color=TRACK)
        axes.barh(row + 0.62, probability, height=0.16, color=ACCENT if best else PALE)


def draw_caption(source: FigureInput, prediction: CaptionPrediction) -> bytes:
    """For each word the photo with its attention (Xu et al., 2015), as a PNG file."""
    n_panels = 1 + len(prediction.words)
    rows = ceil(n_panels / N_COLUMNS)
    columns = ceil(n_panels / rows)
    size = fit(source.picture, 2.3, 2.3)
    label = 0.36
    width = 2 * MARGIN + columns * (size[0] + GAP) - GAP
    lines = wrap(prediction.sentence, width - 2 * MARGIN, 14)
    top = MARGIN + len(lines) * line_height(14) + 0.06
    foot = Foot.of(source, width - 2 * MARGIN, prediction)
    below = top + rows * (size[1] + label) + 0.14
    canvas = Canvas(width, below + foot.height)
    canvas.text(MARGIN, MARGIN, "\n".join(lines), 14, bold=True)
    for i in range(n_panels):
        left = MARGIN + i % columns * (size[0] + GAP)
        y = top + i // columns * (size[1] + label) + label
        if not i:
            canvas.picture(source.picture, left, y, size)
            continue
        word, probability = prediction.words[i - 1]
        canvas.label(left, y - 0.08, word, 11)
        canvas.label(left + size[0], y - 0.08, f"{100 * probability:.0f} %", 8, right=True)
        canvas.picture(source.overlay(prediction.attention[i - 1]), left, y, size)
    foot.draw(canvas, below)
    return canvas.png()


def draw_plain_caption(source: FigureInput, prediction: CaptionPrediction) -> bytes:
    """The photo and the caption of a head without attention, as a PNG file."""
    size = fit(source.picture, 5, 4)
    lines = wrap(prediction.sentence, size[0], 14)
    top = MARGIN + size[1] + 0.2
    below = top + len(lines) * line_height(14) + 0.12
    foot = Foot.of(source, size[0], prediction)
    canvas = Canvas(size[0] + 2 * MARGIN, below + foot.height)
    canvas.picture(source.picture, MARGIN, MARGIN, size)
    canvas.text(MARGIN, top, "\n".join(lines), 14, bold=True)
    foot.draw(canvas, below)
    return canvas.png()

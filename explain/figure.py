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
from .overlay import overlay

ACCENT, PALE, TRACK = "#0072b2", "#c8d7e1", "#eef2f5"
MARGIN, GAP = 0.35, 0.18  # inches
BARS_WIDTH = 3.0  # inches
LONGEST_LABEL = 22  # letters of an answer
N_COLUMNS = 6  # pictures in a row, at most


@dataclass(frozen=True)
class FigureInput:
    """The photo of a figure, the crop that made it a square, and a line about the run."""

    picture: Image.Image
    crop: str
    footer: str

    def overlay(self, attention: Any) -> Image.Image:
        """The photo with attention over it."""
        return overlay(self.picture, attention, self.crop)


def draw_figure(source: FigureInput, question: str, prediction: Prediction) -> bytes:
    """The figure of any prediction, as a PNG file."""
    if isinstance(prediction, AnswerPrediction):
        return draw_answer(source, question, prediction)
    if prediction.attention:
        return draw_caption(source, prediction)
    return draw_plain_caption(source, prediction)


def draw_answer(source: FigureInput, question: str, prediction: AnswerPrediction) -> bytes:
    """The question, the photo, the attention of each hop and the top answers, as a PNG file."""
    size = fit(source.picture, 3.2, 3.2)
    panels = ["photo", *(f"hop {i + 1}" for i in range(len(prediction.attention)))]
    width = 2 * MARGIN + len(panels) * (size[0] + GAP) + BARS_WIDTH
    inner = width - 2 * MARGIN
    lines = wrap(question, inner, 15)
    top = MARGIN + len(lines) * line_height(15) + 0.3
    canvas = Canvas(width, top + max(size[1], 2.0) + 0.12 + line_height(8) + MARGIN)
    canvas.text(MARGIN, MARGIN, "\n".join(lines), 15, bold=True)
    images = [source.picture, *(source.overlay(hop) for hop in prediction.attention)]
    for i, (name, image) in enumerate(zip(panels, images, strict=True)):
        left = MARGIN + i * (size[0] + GAP)
        if len(panels) > 1:
            canvas.text(left, top - 0.2, name, 9, QUIET)
        canvas.picture(image, left, top, size)
    left = width - MARGIN - BARS_WIDTH
    draw_bars(canvas.axes(left, top, BARS_WIDTH, max(size[1], 2.0)), prediction.answers)
    canvas.text(MARGIN, canvas.height - MARGIN - line_height(8) + 0.1, source.footer, 8, QUIET)
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
    canvas = Canvas(width, top + rows * (size[1] + label) + 0.12 + line_height(8) + MARGIN)
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
    canvas.text(MARGIN, canvas.height - MARGIN - line_height(8) + 0.1, source.footer, 8, QUIET)
    return canvas.png()


def draw_plain_caption(source: FigureInput, prediction: CaptionPrediction) -> bytes:
    """The photo and the caption of a head without attention, as a PNG file."""
    size = fit(source.picture, 5, 4)
    lines = wrap(prediction.sentence, size[0], 14)
    top = MARGIN + size[1] + 0.2
    below = top + len(lines) * line_height(14) + 0.12
    canvas = Canvas(size[0] + 2 * MARGIN, below + line_height(8) + MARGIN)
    canvas.picture(source.picture, MARGIN, MARGIN, size)
    canvas.text(MARGIN, top, "\n".join(lines), 14, bold=True)
    canvas.text(MARGIN, below, source.footer, 8, QUIET)
    return canvas.png()

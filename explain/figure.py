"""What a head said about one photo and where it looked, drawn as one picture."""

import io
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ..predict.inference import Answered, Told
from .overlay import overlay

INK, QUIET, ACCENT, PALE = "#1b1f24", "#6a737d", "#0072b2", "#c8d7e1"
DPI = 150
MARGIN, GAP = 0.35, 0.18  # inches
LETTER = 0.62  # of the font size: the mean width of a letter of DejaVu Sans, with room to spare
SHORTEST = 22  # letters of an answer's label at most


@dataclass(frozen=True)
class Scene:
    """What a sheet is about: the picture, how it was made a square, and a line on the run."""

    picture: Image.Image
    crop: str
    footer: str


class Sheet:
    """A page of so many inches on which things are placed from the top left corner, in inches."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height), facecolor="white")
        FigureCanvasAgg(self.figure)

    def box(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes without any frame."""
        bottom = self.height - top - height
        place = (
            left / self.width,
            bottom / self.height,
            width / self.width,
            height / self.height,
        )
        axes = self.figure.add_axes(place)
        axes.axis("off")
        return axes

    def label(
        self, left: float, bottom: float, words: str, size: float, right: bool = False
    ) -> None:
        """A word that stands on that line, or ends there (``right``, which is also quiet)."""
        self.figure.text(
            left / self.width,
            1 - bottom / self.height,
            drawable(words),
            fontsize=size,
            color=QUIET if right else INK,
            fontweight="normal" if right else "bold",
            va="baseline",
            ha="right" if right else "left",
            parse_math=False,
        )

    def text(
        self,
        left: float,
        top: float,
        words: str,
        size: float,
        colour: str = INK,
        bold: bool = False,
    ) -> None:
        """Words whose top left corner is there; ``size`` in points."""
        self.figure.text(
            left / self.width,
            1 - top / self.height,
            drawable(words),
            fontsize=size,
            color=colour,
            fontweight="bold" if bold else "normal",
            va="top",
            linespacing=1.25,
            parse_math=False,  # a "$" is a dollar
        )

    def picture(
        self, image: Image.Image, left: float, top: float, size: tuple[float, float]
    ) -> None:
        """A picture, filling ``size`` (width, height)."""
        axes = self.box(left, top, *size)
        axes.imshow(image, interpolation="lanczos", aspect="auto")

    def png(self) -> bytes:
        """The page as a PNG file."""
        out = io.BytesIO()
        with warnings.catch_warnings():
            # Letters that the font lacks are drawn as boxes; the terminal has the text.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            self.figure.savefig(out, format="png", dpi=DPI)
        return out.getvalue()


def drawable(words: str) -> str:
    """The words with what is no text escaped: bytes of a file's name that are not UTF-8."""
    return words.encode("utf-8", "backslashreplace").decode()


def fit(picture: Image.Image, width: float, height: float) -> tuple[float, float]:
    """The largest size, in inches, of the picture's shape that fits into width and height."""
    scale = min(width / picture.width, height / picture.height)
    return picture.width * scale, picture.height * scale


def wrap(text: str, width: float, size: float) -> list[str]:
    """The text in lines of at most so many inches at a font size in points."""
    n_letters = max(8, int(width * 72 / (size * LETTER)))
    return textwrap.wrap(text, n_letters) or [""]


def line_height(size: float) -> float:
    """The height of a line, in inches, at a font size in points."""
    return size * 1.25 * 1.165 / 72  # line spacing, and DejaVu Sans' own height


def draw_answer(scene: Scene, question: str, answered: Answered) -> bytes:
    """The question, the photo, a map a hop and the likeliest answers, as a PNG file."""
    size = fit(scene.picture, 3.2, 3.2)
    panels = ["photo", *(f"hop {i + 1}" for i in range(len(answered.maps)))]
    bars = 3.0
    width = 2 * MARGIN + len(panels) * (size[0] + GAP) + bars
    inner = width - 2 * MARGIN
    lines = wrap(question, inner, 15)
    top = MARGIN + len(lines) * line_height(15) + 0.3
    sheet = Sheet(width, top + max(size[1], 2.0) + 0.12 + line_height(8) + MARGIN)
    sheet.text(MARGIN, MARGIN, "\n".join(lines), 15, bold=True)
    images = [scene.picture, *(overlay(scene.picture, m, scene.crop) for m in answered.maps)]
    for i, (name, image) in enumerate(zip(panels, images, strict=True)):
        left = MARGIN + i * (size[0] + GAP)
        if len(panels) > 1:
            sheet.text(left, top - 0.2, name, 9, QUIET)
        sheet.picture(image, left, top, size)
    left = width - MARGIN - bars
    draw_bars(sheet.box(left, top, bars, max(size[1], 2.0)), answered.answers)
    sheet.text(MARGIN, sheet.height - MARGIN - line_height(8) + 0.1, scene.footer, 8, QUIET)
    return sheet.png()


def draw_bars(axes: Axes, answers: Sequence[tuple[str, float]]) -> None:
    """Horizontal bars of probabilities, the best first, each under its answer."""
    axes.set_xlim(0, 1)
    axes.set_ylim(max(5, len(answers)) - 0.1, -0.1)
    for row, (answer, probability) in enumerate(answers):
        best = row == 0
        colour = INK if best else QUIET
        weight = "bold" if best else "normal"
        label = textwrap.shorten(answer, SHORTEST, placeholder="…") or answer[:SHORTEST]
        style: dict[str, Any] = {
            "fontsize": 11,
            "color": colour,
            "fontweight": weight,
            "va": "center",
        }
        axes.text(0, row + 0.28, label, parse_math=False, **style)
        axes.text(1, row + 0.28, f"{100 * probability:.1f} %", ha="right", **style)
        axes.barh(row + 0.62, 1, height=0.16, color="#eef2f5")
        axes.barh(row + 0.62, probability, height=0.16, color=ACCENT if best else PALE)


def draw_caption(scene: Scene, told: Told) -> bytes:
    """The photo once a word with that word's attention over it (Xu et al., 2015), as a PNG file."""
    if not told.maps:
        return draw_plain_caption(scene, told)
    n_panels = 1 + len(told.words)
    rows = ceil(n_panels / 6)
    columns = ceil(n_panels / rows)
    size = fit(scene.picture, 2.3, 2.3)
    label = 0.36
    width = 2 * MARGIN + columns * (size[0] + GAP) - GAP
    lines = wrap(told.sentence, width - 2 * MARGIN, 14)
    top = MARGIN + len(lines) * line_height(14) + 0.06
    sheet = Sheet(width, top + rows * (size[1] + label) + 0.12 + line_height(8) + MARGIN)
    sheet.text(MARGIN, MARGIN, "\n".join(lines), 14, bold=True)
    for i in range(n_panels):
        left = MARGIN + i % columns * (size[0] + GAP)
        y = top + i // columns * (size[1] + label) + label
        if not i:
            sheet.picture(scene.picture, left, y, size)
            continue
        word, probability = told.words[i - 1]
        sheet.label(left, y - 0.08, word, 11)
        sheet.label(left + size[0], y - 0.08, f"{100 * probability:.0f} %", 8, right=True)
        sheet.picture(overlay(scene.picture, told.maps[i - 1], scene.crop), left, y, size)
    sheet.text(MARGIN, sheet.height - MARGIN - line_height(8) + 0.1, scene.footer, 8, QUIET)
    return sheet.png()


def draw_plain_caption(scene: Scene, told: Told) -> bytes:
    """The photo and the caption of a head that does not look around, as a PNG file."""
    size = fit(scene.picture, 5, 4)
    lines = wrap(told.sentence, size[0], 14)
    top = MARGIN + size[1] + 0.2
    below = top + len(lines) * line_height(14) + 0.12
    sheet = Sheet(size[0] + 2 * MARGIN, below + line_height(8) + MARGIN)
    sheet.picture(scene.picture, MARGIN, MARGIN, size)
    sheet.text(MARGIN, top, "\n".join(lines), 14, bold=True)
    sheet.text(MARGIN, below, scene.footer, 8, QUIET)
    return sheet.png()

"""A drawing surface measured in inches from its top left corner, written as a PNG file."""

import io
import textwrap
import warnings

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

INK, QUIET = "#1b1f24", "#6a737d"
DPI = 150
LETTER = 0.62  # of the font size: the mean width of a letter of DejaVu Sans, with room to spare


class Canvas:
    """A surface of ``width`` × ``height`` inches; positions are inches from the top left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height), facecolor="white")
        FigureCanvasAgg(self.figure)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes without a frame."""
        bottom = self.height - top - height
        axes = self.figure.add_axes(
            (left / self.width, bottom / self.height, width / self.width, height / self.height)
        )
        axes.axis("off")
        return axes

    def label(
        self, left: float, bottom: float, words: str, size: float, right: bool = False
    ) -> None:
        """Bold words that start on a baseline, or quiet ones that end there (``right``)."""
        self.figure.text(
            left / self.width,
            1 - bottom / self.height,
            printable(words),
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
        color: str = INK,
        bold: bool = False,
    ) -> None:
        """Words with their top left corner at a position; ``size`` in points."""
        self.figure.text(
            left / self.width,
            1 - top / self.height,
            printable(words),
            fontsize=size,
            color=color,
            fontweight="bold" if bold else "normal",
            va="top",
            linespacing=1.25,
            parse_math=False,  # a "$" is a dollar
        )

    def picture(
        self, image: Image.Image, left: float, top: float, size: tuple[float, float]
    ) -> None:
        """A picture that fills ``size`` (width, height)."""
        self.axes(left, top, *size).imshow(image, interpolation="lanczos", aspect="auto")

    def png(self) -> bytes:
        """The canvas as a PNG file."""
        out = io.BytesIO()
        with warnings.catch_warnings():
            # Letters that the font lacks are drawn as boxes; the terminal has the text.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            self.figure.savefig(out, format="png", dpi=DPI)
        return out.getvalue()


def printable(words: str) -> str:
    """The words with bytes of a file's name that are not UTF-8 escaped."""
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

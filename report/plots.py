"""Curves by epoch: a line a run, as PNG files and as SVG that takes its page's colours."""

import io
import re
from dataclasses import dataclass
from math import isfinite
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

# Okabe and Ito's colours, told apart by all kinds of eyes; the yellow is too pale for a thin line.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "s", "^", "D")  # of the best epoch; the next one once all colours are taken
INK, QUIET, LINE = "#1b1f24", "#57606a", "#d8dee4"
SIZE = (4.6, 3.3)  # inches, small: the page enlarges it, letters and all
DPI = 200
LONE = 0.2  # epochs: the length of the line that stands for a single epoch

# Stand-ins in a themed SVG, which a page's own colours replace.
STAND_IN = {"INK": "#010101", "QUIET": "#020202", "LINE": "#030303", "PAPER": "#040404"}


@dataclass(frozen=True)
class Curve:
    """One run's metric by epoch; ``number`` fixes the run's colour and marker."""

    name: str
    number: int
    epochs: list[int]
    values: list[float]
    dashed: bool = False
    best_epoch: int | None = None  # to be marked


@dataclass(frozen=True)
class Chart:
    """Curves that share their axes."""

    title: str
    unit: str  # of the vertical axis
    curves: list[Curve]
    least_top: float = 0.0  # the vertical axis reaches so far at least
    also: tuple[float, ...] = ()  # values of other charts, that the vertical axis shall cover too


@dataclass(frozen=True)
class Colours:
    """What a chart is drawn with."""

    ink: str
    quiet: str
    line: str
    paper: str
    runs: tuple[str, ...]


PRINTED = Colours(INK, QUIET, LINE, "#ffffff", PALETTE)
THEMED = Colours(
    STAND_IN["INK"],
    STAND_IN["QUIET"],
    STAND_IN["LINE"],
    STAND_IN["PAPER"],
    tuple(f"#0500{k:02x}" for k in range(len(PALETTE))),
)


def draw_chart(chart: Chart, colours: Colours, legend: bool) -> Figure:
    """The chart as a figure, with a legend inside or none."""
    figure = Figure(figsize=SIZE, layout="constrained", facecolor=colours.paper)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_facecolor(colours.paper)
    for curve in chart.curves:
        draw_curve(axes, curve, colours)
    axes.set_title(
        f"{chart.title}, {chart.unit}", loc="left", fontsize=10, color=colours.ink, pad=8
    )
    axes.set_xlabel("epoch", fontsize=9, color=colours.quiet)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if max(len(curve.epochs) for curve in chart.curves) == 1:
        only = chart.curves[0].epochs[0]
        axes.set_xlim(only - 1, only + 1)
        axes.set_xticks([only])
    axes.update_datalim([(chart.curves[0].epochs[0], value) for value in chart.also])
    axes.autoscale_view(scalex=False)
    axes.set_ylim(top=max(axes.get_ylim()[1], chart.least_top))
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)
    axes.grid(axis="y", color=colours.line, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=colours.quiet, labelsize=9, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(colours.line)
    if legend:
        add_legend(axes, chart, colours)
    return figure


def draw_curve(axes: Axes, curve: Curve, colours: Colours) -> None:
    """One line, and the mark of its best epoch."""
    colour = colours.runs[curve.number % len(colours.runs)]
    style = (0, (3, 2)) if curve.dashed else "solid"
    epochs: list[float] = [*curve.epochs]
    values = curve.values
    if len(epochs) == 1:  # a lone epoch would be no line
        epochs, values = [epochs[0] - LONE / 2, epochs[0] + LONE / 2], values * 2
    axes.plot(
        epochs,
        values,
        color=colour,
        linestyle=style,
        linewidth=1.2 if curve.dashed else 1.9,
        solid_capstyle="round",
    )
    if curve.best_epoch is not None:
        best = curve.values[curve.epochs.index(curve.best_epoch)]
        if isfinite(best):
            axes.plot(
                [curve.best_epoch],
                [best],
                color=colour,
                marker=marker_of(curve.number),
                markersize=6.5,
                markeredgecolor=colours.paper,
                markeredgewidth=1.2,
                linestyle="none",
                clip_on=False,
                zorder=3,
            )


def marker_of(number: int) -> str:
    """The mark of a run: colours come round again after seven runs, then with another mark."""
    return MARKERS[number // len(PALETTE) % len(MARKERS)]


def add_legend(axes: Axes, chart: Chart, colours: Colours) -> None:
    """Names below the axes, and what a dash and a mark mean."""
    handles = []
    for curve in chart.curves:
        if not curve.dashed:
            colour = colours.runs[curve.number % len(colours.runs)]
            mark = marker_of(curve.number)
            handles.append(Line2D([], [], color=colour, marker=mark, label=curve.name))
    if any(curve.dashed for curve in chart.curves):
        handles.append(Line2D([], [], color=colours.quiet, label="validation"))
        handles.append(Line2D([], [], color=colours.quiet, linestyle=(0, (3, 2)), label="training"))
    axes.figure.legend(  # type: ignore[union-attr, unused-ignore]
        handles=handles,
        loc="outside lower left",
        ncols=3,
        fontsize=8,
        frameon=False,
        labelcolor=colours.ink,
    )


def to_png(chart: Chart) -> bytes:
    """The chart as a PNG file of its own, with a legend."""
    out = io.BytesIO()
    with rc_context({"text.parse_math": False}):
        draw_chart(chart, PRINTED, legend=True).savefig(out, format="png", dpi=DPI)
    return out.getvalue()


def to_svg(chart: Chart) -> str:
    """The chart as an ``<svg>`` element for a page.

    Letters are text in the page's font. Colours are the page's CSS variables ``--ink``,
    ``--quiet``, ``--line``, ``--paper`` and ``--run-0`` to ``--run-6``; the legend is the page's.
    """
    out = io.StringIO()
    salt: Any = {"svg.hashsalt": chart.title, "svg.fonttype": "none", "text.parse_math": False}
    with rc_context(salt):
        figure = draw_chart(chart, THEMED, legend=False)
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r' height="[\d.]+pt"', "", svg, count=1)
    )
    svg = re.sub(r"font-family: [^;\"]*; ", "", svg)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # two charts on a page would share these
    for name, stand_in in STAND_IN.items():
        svg = svg.replace(stand_in, f"var(--{name.lower()})")
    for number, stand_in in enumerate(THEMED.runs):
        svg = svg.replace(stand_in, f"var(--run-{number})")
    return svg.replace("<svg", f'<svg role="img" aria-label="{chart.title} by epoch"', 1)

"""Curves by epoch, one line for each run: PNG files, and SVG in the colours of its page."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..explain.palette import MARKERS, PALETTE, color_index, marker_index

INK, QUIET, LINE, WARN = "#1b1f24", "#57606a", "#d8dee4", "#b3261e"
CAPTION_LETTERS = 78  # of a line
SIZE = (4.6, 3.3)  # inches; the page enlarges it, letters included
DPI = 200
BAND_OPACITY = 0.13
SINGLE_WIDTH = 0.2  # epochs: the length of the line for a single epoch

# Colors of a themed SVG that are then replaced by the page's CSS variables.
PLACEHOLDER = {"INK": "#010101", "QUIET": "#020202", "LINE": "#030303", "PAPER": "#040404"}


@dataclass(frozen=True)
class Curve:
    """One run's metric by epoch; ``number`` determines the run's colour and marker."""

    name: str
    number: int
    epochs: list[int]
    values: list[float]
    dashed: bool = False
    best_epoch: int | None = None  # which gets the marker
    band: Sequence[tuple[float | None, float | None]] = ()  # each epoch's interval, if it has one


@dataclass(frozen=True)
class Chart:
    """Curves that share axes."""

    title: str
    unit: str  # of the vertical axis
    curves: Sequence[Curve] = ()
    least_top: float = 0.0  # the vertical axis reaches at least this value
    also: tuple[float, ...] = ()  # values of other charts that the vertical axis covers too
    caption: Sequence[str] = ()  # lines below a picture that stands alone


@dataclass(frozen=True)
class Colors:
    """The colours of a chart."""

    ink: str
    quiet: str
    line: str
    paper: str
    runs: tuple[str, ...]


PRINTED = Colors(INK, QUIET, LINE, "#ffffff", PALETTE)
THEMED = Colors(
    PLACEHOLDER["INK"],
    PLACEHOLDER["QUIET"],
    PLACEHOLDER["LINE"],
    PLACEHOLDER["PAPER"],
    tuple(f"#0500{k:02x}" for k in range(len(PALETTE))),
)


def draw_chart(chart: Chart, colors: Colors, legend: bool) -> Figure:
    """The chart as a figure, with or without a legend."""
    figure = Figure(figsize=SIZE, layout="constrained", facecolor=colors.paper)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_facecolor(colors.paper)
    for curve in chart.curves:
        draw_curve(axes, curve, colors)
    axes.set_title(f"{chart.title}, {chart.unit}", loc="left", fontsize=10, color=colors.ink, pad=8)
    axes.set_xlabel("epoch", fontsize=9, color=colors.quiet)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if max(len(curve.epochs) for curve in chart.curves) == 1:
        only = chart.curves[0].epochs[0]
        axes.set_xlim(only - 1, only + 1)
        axes.set_xticks([only])
    axes.update_datalim([(chart.curves[0].epochs[0], value) for value in chart.also])
    axes.autoscale_view(scalex=False)
    axes.set_ylim(top=max(axes.get_ylim()[1], chart.least_top))
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)
    axes.grid(axis="y", color=colors.line, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=colors.quiet, labelsize=9, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(colors.line)
    if legend:
        add_legend(axes, chart, colors)
    return figure


def draw_curve(axes: Axes, curve: Curve, colors: Colors) -> None:
    """One line, and the marker of its best epoch."""
    color = colors.runs[color_index(curve.number)]
    style = (0, (3, 2)) if curve.dashed else "solid"
    epochs: list[float] = [*curve.epochs]
    values, band = curve.values, list(curve.band)
    if len(epochs) == 1:  # a single point would draw no line
        epochs, values = [epochs[0] - SINGLE_WIDTH / 2, epochs[0] + SINGLE_WIDTH / 2], values * 2
        band *= 2
    if band:
        low, high = np.array(band, np.float64).T  # None becomes NaN, which is not drawn
        axes.fill_between(epochs, low, high, color=color, alpha=BAND_OPACITY, linewidth=0)
    axes.plot(
        epochs,
        values,
        color=color,
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
                color=color,
                marker=MARKERS[marker_index(curve.number)],
                markersize=6.5,
                markeredgecolor=colors.paper,
                markeredgewidth=1.2,
                linestyle="none",
                clip_on=False,
                zorder=3,
            )


def add_legend(axes: Axes, chart: Chart, colors: Colors) -> None:
    """The runs below the axes, and the meaning of dashed lines."""
    handles = []
    for curve in chart.curves:
        if not curve.dashed:
            color = colors.runs[color_index(curve.number)]
            marker = MARKERS[marker_index(curve.number)]
            handles.append(Line2D([], [], color=color, marker=marker, label=curve.name))
    if any(curve.dashed for curve in chart.curves):
        handles.append(Line2D([], [], color=colors.quiet, label="validation"))
        handles.append(Line2D([], [], color=colors.quiet, linestyle=(0, (3, 2)), label="training"))
    legend = axes.figure.legend(  # type: ignore[union-attr, unused-ignore]
        handles=handles,
        loc="outside lower left",
        ncols=3,
        fontsize=8,
        frameon=False,
        labelcolor=colors.ink,
        title="\n".join(line for each in chart.caption for line in wrap(each, CAPTION_LETTERS)),
        title_fontproperties={"size": 7},
        alignment="left",
    )
    loud = any("RANDOM" in line for line in chart.caption)
    legend.get_title().set_color(WARN if loud else colors.quiet)


def to_png(chart: Chart) -> bytes:
    """The chart as a PNG file of its own, with a legend."""
    out = io.BytesIO()
    with rc_context({"text.parse_math": False}):
        draw_chart(chart, PRINTED, legend=True).savefig(out, format="png", dpi=DPI)
    return out.getvalue()


def to_svg(chart: Chart) -> str:
    """The chart as an ``<svg>`` element for a page.

    Letters are text in the page's font. Colors are the page's CSS variables ``--ink``,
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
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # two charts on a page would share the ids
    for name, placeholder in PLACEHOLDER.items():
        svg = svg.replace(placeholder, f"var(--{name.lower()})")
    for number, placeholder in enumerate(THEMED.runs):
        svg = svg.replace(placeholder, f"var(--run-{number})")
    return svg.replace("<svg", f'<svg role="img" aria-label="{chart.title} by epoch"', 1)

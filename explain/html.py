"""Self-contained HTML pages: filling in the templates, and how a run appears on a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from .overlay import FULL_MEANS, heat_scale
from .palette import SVG_MARKERS, color_index, marker_index

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class PageRun:
    """A run on a page: its name, the index of its colour and its marker, an SVG element."""

    name: str
    color: int
    marker: Markup


def page_runs(names: Sequence[str], numbers: Sequence[int] | None = None) -> list[PageRun]:
    """The runs, with colours and markers by their numbers, or by their order."""
    return [
        PageRun(name, color_index(k), Markup(SVG_MARKERS[marker_index(k)]))
        for k, name in zip(numbers or range(len(names)), names, strict=True)
    ]


def render(template: str, **context: Any) -> str:
    """Fill in one of the templates; text is escaped, whatever it holds."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    colors = np.asarray(heat_scale(9))[0].tolist()
    stops = ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in colors)
    environment.globals |= {"heat": f"linear-gradient(to right, {stops})", "full": FULL_MEANS}
    return environment.get_template(template).render(**context)

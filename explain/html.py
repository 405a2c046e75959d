"""Pages that need nothing else: their templates, and how a run looks on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ..report.plots import MARKERS, PALETTE

TEMPLATES = Path(__file__).parent / "templates"

# The marks of plots.MARKERS in a box of 40 x 16.
SHAPES = (
    Markup('circle cx="20" cy="8" r="5"'),
    Markup('rect x="15" y="3" width="10" height="10"'),
    Markup('path d="M20 2 26 13H14Z"'),
    Markup('path d="M20 1 27 8 20 15 13 8Z"'),
)


@dataclass(frozen=True)
class PageRun:
    """A run on a page: its name, the number of its colour and its mark."""

    name: str
    colour: int
    mark: Markup


def page_runs(names: Sequence[str], numbers: Sequence[int] | None = None) -> list[PageRun]:
    """The runs, coloured and marked by their numbers, or by their order."""
    return [
        PageRun(name, k % len(PALETTE), SHAPES[k // len(PALETTE) % len(MARKERS)])
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
    return environment.get_template(template).render(**context)

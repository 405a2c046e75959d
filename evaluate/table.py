"""A small table, written in the formats that people paste into terminals, papers and sheets."""

import csv
import io
from dataclasses import dataclass, field

DASH = "–"  # in a cell about which nothing is known


@dataclass(frozen=True)
class Table:
    """A header, rows of as many cells, and notes below; cells of ``left`` columns are words."""

    header: list[str]
    rows: list[list[str]]
    left: int = 1
    title: str = ""
    notes: list[str] = field(default_factory=list)


def as_text(table: Table) -> str:
    """For a terminal: aligned columns."""
    lines = [table.header, *table.rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(table.header))]

    def align(line: list[str]) -> str:
        cells = (
            cell.ljust(width) if k < table.left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    title = [table.title] if table.title else []
    return "\n".join([*title, *map(align, lines), *table.notes])


def as_csv(table: Table) -> str:
    """Comma-separated values: header and rows alone."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([table.header, *table.rows])
    return text.getvalue().rstrip("\n")


def as_markdown(table: Table) -> str:
    """A Markdown table, with the title above and the notes below."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = ["---" if k < table.left else "---:" for k in range(len(table.header))]
    blocks = [table.title] if table.title else []
    blocks.append("\n".join([line(table.header), line(rule), *map(line, table.rows)]))
    return "\n\n".join([*blocks, *(f"`{note}`" for note in table.notes)])


LATEX_SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "–": "--",
        **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    }
)


def as_latex(table: Table) -> str:
    """A LaTeX tabular in the manner of booktabs; title and notes as comments."""

    def line(cells: list[str]) -> str:
        return " & ".join(cell.translate(LATEX_SPECIAL) for cell in cells) + r" \\"

    columns = "l" * table.left + "r" * (len(table.header) - table.left)
    comments = [f"% {note}" for note in (table.title, *table.notes) if note]
    return "\n".join(
        [
            *comments,
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            line(table.header),
            r"\midrule",
            *map(line, table.rows),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


WRITERS = {"table": as_text, "csv": as_csv, "markdown": as_markdown, "latex": as_latex}

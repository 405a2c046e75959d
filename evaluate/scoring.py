"""From results files to everything that ``score`` reports.

NumPy is imported only after the references are found, while a long file is being hashed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..datasets.formats import SourceFile
from ..errors import InputError
from .layouts import open_results
from .reference_files import CaptionReferences, Choice, References, find_references

if TYPE_CHECKING:
    from .bootstrap import Interval
    from .comparison import Comparison
    from .evaluation import Evaluation
    from .metrics import Resampling

# Reference captions of this size are scored by compiled code.
LARGE_BYTES = 2 << 20


@dataclass(frozen=True)
class Request:
    """What to score and how."""

    results: list[Path]
    references: Choice
    against: Path | None  # another results file, to which each is compared
    n_resamples: int  # of the bootstrap
    seed: int  # of the bootstrap
    intervals: bool  # whether to find the intervals of the scores
    announce: Callable[[str], None]  # receives a message before a slow step
    # Metrics of captions that other programs compute, by name, with the program if it was named.
    extra: dict[str, Path | None] = field(default_factory=dict)


@dataclass(frozen=True)
class ScoreOutcome:
    """The evaluations of R results files, with each one's intervals and comparison if asked for."""

    layouts: dict[Path, str]  # of the files that are not in the official one, in words
    origin: str  # of the references, in words
    references: References
    sources: list[
        Path | SourceFile
    ]  # the results in the official layout, for who wants their texts
    evaluations: list[Evaluation]
    resampling: Resampling
    intervals: list[list[Interval]] | None
    comparisons: list[Comparison]


def score_files(request: Request) -> ScoreOutcome:
    """Score results files. Raises ``InputError`` for whatever does not fit."""
    other = [request.against] if request.against else []
    files = [open_results(path) for path in [*request.results, *other]]
    found = find_references(files, request.references)
    task, references, origin = found.task, found.references, found.origin
    if isinstance(references, CaptionReferences):
        prepare_kernels(references, request.announce)
    from .comparison import compare_evaluations
    from .evaluation import evaluate
    from .metrics import Resampling, find_intervals

    sources = [file.official(task) for file in files]
    evaluations = evaluate(sources, references, found.left_out)
    if request.extra:
        evaluations = add_extras(evaluations, sources, references, request)
    resampling = Resampling(request.n_resamples, request.seed)
    scored = evaluations[: len(request.results)]
    return ScoreOutcome(
        {file.path: file.layout for file in files if file.layout},
        origin,
        references,
        sources[: len(scored)],
        scored,
        resampling,
        [find_intervals(one.families, resampling) for one in scored] if request.intervals else None,
        [compare_evaluations(one, evaluations[-1], resampling) for one in scored if other],
    )


def add_extras(
    evaluations: list[Evaluation],
    sources: list[Path | SourceFile],
    references: References,
    request: Request,
) -> list[Evaluation]:
    """The evaluations with the metrics that other programs compute."""
    if not isinstance(references, CaptionReferences):
        names = ", ".join(request.extra)
        raise InputError(
            f"{evaluations[0].path}: holds answers, and {names} are of captions; drop --metric."
        )
    from .captions.extra import find_programs, score_extra

    programs = find_programs(request.extra)
    return [
        replace(one, extras=tuple(score_extra(programs, source, references, request.announce)))
        for one, source in zip(evaluations, sources, strict=True)
    ]


def prepare_kernels(references: CaptionReferences, announce: Callable[[str], None]) -> None:
    """Choose the kernels' cache folder; announce it if many captions must wait for compilation."""
    from .numba_cache import choose_numba_cache, holds_kernels

    folder = choose_numba_cache(announce)
    is_large = references.path.stat().st_size >= LARGE_BYTES
    if folder is not None and is_large and not holds_kernels(folder):
        announce("Compiling the caption kernels, once on this machine: this takes some seconds.")

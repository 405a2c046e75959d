"""Caption metrics that other programs compute, as rows of the same tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from ...datasets.captions import read_captions
from ...datasets.formats import SourceFile
from ..bootstrap import Float64
from ..metrics import OVERALL, Family, Metric
from ..ptb.tokenizer import tokenize_captions
from ..reference_files import CaptionReferences
from .java_metrics import Program, find_program, meteor, spice
from .results import read_caption_results


@dataclass(frozen=True)
class ExtraScores:
    """A metric's value of the corpus, and each image's, float64[N].

    ``is_mean``: whether that of the corpus is their mean; else resampling cannot tell its interval.
    """

    name: str
    signature: str
    value: float
    each: Float64
    is_mean: bool

    @property
    def family(self) -> Family:
        """The metric with its statistics."""
        n = len(self.each)
        statistics = np.column_stack([self.each, np.ones(n)])
        combine = mean_of if self.is_mean else unknown
        metric = Metric(OVERALL, self.name, n, self.value)
        return Family([metric], statistics, n, combine, combine)


def mean_of(sums: Float64) -> Float64:
    """The mean from sums [..., 2] of scores and of images."""
    return np.asarray(sums[..., :1] / sums[..., 1:])


def unknown(sums: Float64) -> Float64:
    """NaN: a corpus score that only the program can make of other images."""
    return np.full((*sums.shape[:-1], 1), np.nan)


def find_programs(jars: dict[str, Path | None]) -> list[Program]:
    """The programs of metrics, by name; raises ``InputError`` for what is not here."""
    return [find_program(name, jar) for name, jar in jars.items()]


def score_extra(
    programs: Sequence[Program],
    results: Path | SourceFile,
    references: CaptionReferences,
    announce: Callable[[str], None],
) -> list[ExtraScores]:
    """The programs' scores of a results file that was already checked against its references."""
    by_image = read_captions(references.path, references.split).by_image()
    captions = read_caption_results(results)
    ids = [image for image in by_image if image in captions]  # all, unless fewer were predicted
    texts = [captions[image] for image in ids]
    flat = joined_tokens([text for image in ids for text in by_image[image]])
    ends = np.cumsum([0, *(len(by_image[image]) for image in ids)]).tolist()
    groups = [flat[start:end] for start, end in pairwise(ends)]
    predictions = joined_tokens(texts)
    found = []
    for program in programs:
        name = program.metric.name
        announce(f"{name} of {len(ids):,} captions by {program.jar} …")
        if name == "METEOR":
            value, each = meteor(program, predictions, groups)
        else:
            value, each = spice(program, ids, predictions, groups)
        found.append(ExtraScores(name, program.signature, value, each, is_mean=name != "METEOR"))
    return found


def joined_tokens(captions: list[str]) -> list[str]:
    """Each caption's tokens with spaces between."""
    return [" ".join(tokens) for tokens in tokenize_captions(captions)]

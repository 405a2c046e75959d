import math

import numpy as np
import pytest
from frostgrid.evaluate.metrics import Resampling, compare, vqa_families
from frostgrid.evaluate.power import POWER, items_needed, smallest_found
from frostgrid.evaluate.vqa.accuracy import Groups, VqaScores

PER_IMAGE = 4  # questions


def draw_pair(n_images, seed):
    """The families of two systems on the same images: one is 5 points better.

    Images are easy or hard for both, so that the answers to one image are alike.
    """
    rng = np.random.default_rng(seed)
    n = n_images * PER_IMAGE
    image = np.repeat(np.arange(n_images), PER_IMAGE)
    ease = np.repeat(rng.uniform(0.2, 0.7, n_images), PER_IMAGE)
    kind = Groups(["any"], np.zeros(n, np.int32))
    families = []
    for gain in (0.05, 0.0):
        right = (rng.random(n) < ease + gain).astype(np.float64)
        scores = VqaScores(list(range(n)), image.tolist(), kind, kind, right)
        families.append(vqa_families(scores)[:1])
    return families


def test_as_many_questions_as_it_says_find_the_difference_as_often_as_it_says():
    pilot = compare(*draw_pair(4000, 0), Resampling(1000))[0]
    assert pilot.difference == pytest.approx(5, abs=1.5)
    needed = items_needed(pilot.metric.n, 5.0, pilot.standard_error)
    assert needed is not None
    n_images = round(needed / PER_IMAGE)
    n_trials = 300
    found = sum(
        compare(*draw_pair(n_images, 1 + trial), Resampling(200))[0].p_value < 0.05
        for trial in range(n_trials)
    )
    assert found / n_trials == pytest.approx(POWER, abs=0.07)  # three standard errors


def test_the_two_figures_are_of_one_formula():
    assert items_needed(100, smallest_found(1.5), 1.5) in (100, 101)  # rounded up
    assert items_needed(100, smallest_found(1.5) / 2, 1.5) == pytest.approx(400, abs=1)
    assert smallest_found(1.0) == pytest.approx(1.959964 + 0.841621, abs=1e-6)


@pytest.mark.parametrize(("difference", "error"), [(0.0, 1.0), (1.0, math.nan)])
def test_no_number_finds_what_is_not_there(difference, error):
    assert items_needed(100, difference, error) is None

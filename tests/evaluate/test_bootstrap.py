import math

import numpy as np
import pytest
from frostgrid.evaluate import bootstrap
from frostgrid.evaluate.bootstrap import (
    distinct_rows,
    paired_p_value,
    percentile_interval,
    resample,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays


def resample_plainly(statistics, n_images, n_resamples, rng):
    """Draw images one by one and add their rows up."""
    rows = np.concatenate([statistics, np.zeros((n_images - len(statistics), statistics.shape[1]))])
    return np.array(
        [sum(rows[i] for i in rng.integers(0, n_images, n_images)) for _ in range(n_resamples)]
    )


@pytest.mark.parametrize("n_kinds", [3, 30])
@pytest.mark.parametrize("n_empty", [0, 10])
def test_resampled_sums_are_distributed_as_drawn_one_by_one(n_kinds, n_empty):
    rng = np.random.default_rng(1)
    kinds = rng.integers(0, 5, (n_kinds, 2)) + np.arange(n_kinds)[:, None] * 0.1
    statistics = kinds[np.arange(30) % n_kinds]
    fast = resample(statistics, 30 + n_empty, 4000, [0])
    plain = resample_plainly(statistics, 30 + n_empty, 4000, rng)
    # Means and covariances of 4,000 resamples are known to about 1 in 60 of a standard deviation.
    deviation = plain.std(axis=0)
    assert (abs(fast.mean(axis=0) - plain.mean(axis=0)) < 0.1 * deviation).all()
    np.testing.assert_allclose(np.cov(fast.T), np.cov(plain.T), rtol=0.15, atol=0.5)


def test_resampling_is_seeded():
    statistics = np.random.default_rng(0).random((40, 3))
    same = [resample(statistics, 40, 20, [7, 1]) for _ in range(2)]
    assert np.array_equal(*same)
    assert not np.array_equal(same[0], resample(statistics, 40, 20, [8, 1]))


def test_blocks_change_nothing(monkeypatch):
    statistics = np.random.default_rng(0).random((40, 3))
    expected = resample(statistics, 40, 50, [0])
    monkeypatch.setattr(bootstrap, "BLOCK_NUMBERS", 100)
    np.testing.assert_allclose(resample(statistics, 40, 50, [0]), expected, rtol=1e-12)


def test_one_image_is_all_there_is():
    assert resample(np.array([[2.0, 3.0]]), 1, 4, [0]).tolist() == [[2.0, 3.0]] * 4


@given(
    arrays(np.float64, array_shapes(min_dims=2, max_dims=2), elements=st.sampled_from([0.0, 1, 2]))
)
def test_distinct_rows_equal_numpys(rows):
    expected, sizes = np.unique(rows, axis=0, return_counts=True)
    found, found_sizes = distinct_rows(rows)
    assert np.array_equal(found, expected)
    assert np.array_equal(found_sizes, sizes)


def test_the_interval_holds_the_middle():
    interval = percentile_interval(np.array([math.nan, *np.arange(1001.0)]), 0.9)
    assert interval == pytest.approx((50, 950))
    assert math.isnan(percentile_interval(np.array([math.nan]), 0.9).low)


@pytest.mark.parametrize(
    ("shift", "low", "high"), [(0.0, 0.5, 1.0), (0.2, 0.02, 0.3), (0.9, 0, 0.003)]
)
def test_the_p_value_is_small_only_for_a_real_difference(shift, low, high):
    rng = np.random.default_rng(0)
    differences = rng.normal(0, 1, 100)
    differences += shift - differences.mean()
    sums = resample(differences[:, None], 100, 2000, [0])[:, 0] / 100
    assert low <= paired_p_value(shift, sums) <= high


def test_no_difference_at_all_has_the_p_value_1():
    assert paired_p_value(0.0, np.zeros(99)) == 1


def test_p_values_are_uniform_where_there_is_no_difference():
    rng = np.random.default_rng(0)
    p_values = []
    for k in range(300):
        differences = rng.choice([-0.3, 0.0, 0.3], 60)
        sums = resample(differences[:, None], 60, 400, [k])[:, 0]
        p_values.append(paired_p_value(float(differences.sum()), sums))
    assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.1

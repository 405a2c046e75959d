import numpy as np
import pytest
import torch
from frostgrid.featurize.file.quantize import dequantize, quantize
from frostgrid.featurize.network import quantize_on_device
from hypothesis import given
from hypothesis import strategies as st
from reference.quantize import quantize_plainly


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([1e-7, 1e-3, 1.0, 50.0, 6e4]),
    zeros=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_error_is_at_most_half_a_step(seed: int, size: float, zeros: float) -> None:
    rng = np.random.default_rng(seed)
    grid = (rng.random((2, 5, 16)) * size * (rng.random((2, 5, 16)) >= zeros)).astype(np.float32)
    cells, scale = quantize(grid)
    plain_cells, plain_scale = quantize_plainly(grid)
    assert np.array_equal(cells, plain_cells)
    assert np.array_equal(scale, plain_scale)
    step = scale[:, :, None].astype(np.float64)
    assert (np.abs(cells * step - grid) <= step * 0.5001).all()
    assert np.isfinite(scale).all()


def test_largest_value_and_zero_are_kept() -> None:
    grid = np.array([[[0, 1, 51, 255]], [[0, 0, 0, 0]]], np.float32)
    cells, scale = quantize(grid)
    assert cells.tolist() == [[[0, 1, 51, 255]], [[0, 0, 0, 0]]]
    assert dequantize(cells, scale).tolist() == [[[0, 1, 51, 255]], [[0, 0, 0, 0]]]
    assert dequantize(cells, scale).dtype == np.float16


def test_negative_values_are_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative, the least is -1"):
        quantize(np.full((1, 1, 4), -1, np.float32))


def test_no_image_at_all() -> None:
    cells, scale = quantize(np.zeros((0, 196, 8), np.float32))
    assert cells.shape == (0, 196, 8)
    assert scale.shape == (0, 196)


@pytest.mark.parametrize("size", [1e-7, 1e-3, 1.0, 50.0, 6e4, 1e6])
@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_a_device_quantises_to_the_same_bytes(size: float, kind: type) -> None:
    rng = np.random.default_rng(0)
    with np.errstate(over="ignore"):
        grid = (rng.random((3, 14, 40)) * size * (rng.random((3, 14, 40)) > 0.4)).astype(kind)
    grid[:, 3] = 0
    if not np.isfinite(grid).all():
        return
    cells, scale = quantize(grid)
    found_cells, found_scale = quantize_on_device(torch.from_numpy(grid))
    assert np.array_equal(found_cells.numpy(), cells)
    assert np.array_equal(found_scale.numpy(), scale)


def test_a_negative_value_is_no_finite_scale_on_a_device() -> None:
    assert quantize_on_device(-torch.ones(1, 1, 4))[1].isnan().all()

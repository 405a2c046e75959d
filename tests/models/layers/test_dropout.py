import pytest
import torch
from frostgrid.models.layers.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_numbers_are_dropped_with_the_probability_and_scaled(p) -> None:
    torch.manual_seed(0)
    x = torch.ones(1001, 1003)
    out = Dropout(p)(x)
    dropped = (out == 0).float()
    assert out.unique().tolist() == [0, pytest.approx(1 / (1 - p), rel=1e-3)]
    # Four deviations of a million draws; rows, columns and neighbours have none of their own.
    assert dropped.mean().item() == pytest.approx(p, abs=4 * (p * (1 - p)) ** 0.5 / 1e3)
    for part in (dropped.mean(0), dropped.mean(1), dropped.flatten()[3::4]):
        deviation = (p * (1 - p) / (x.numel() / part.numel())) ** 0.5
        assert (part.mean() - p).abs() < 0.01
        if part.numel() < 2000:
            assert part.std().item() == pytest.approx(deviation, rel=0.1)
    pairs = (dropped[:, 1:] * dropped[:, :-1]).mean().item()
    assert pairs == pytest.approx(p * p, abs=0.003)
    assert out.mean().item() == pytest.approx(1, abs=0.01)


def test_the_gradient_passes_where_the_number_did() -> None:
    x = torch.randn(50, 3, requires_grad=True)
    out = Dropout(0.3)(x)
    out.sum().backward()
    assert torch.equal(x.grad == 0, out == 0)
    torch.testing.assert_close(x.grad[out != 0], (out / x)[out != 0])


def test_the_seed_decides() -> None:
    x, dropout = torch.ones(7, 5, dtype=torch.bfloat16), Dropout(0.5)
    torch.manual_seed(3)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(3)
    assert torch.equal(first, dropout(x))
    assert not torch.equal(first, second)
    assert first.dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(0,), (3, 0), ()])
def test_shapes(shape) -> None:
    assert Dropout(0.5)(torch.ones(shape)).shape == shape


def test_nothing_is_dropped_where_nothing_should() -> None:
    x = torch.randn(4, 4)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0)(x) is x
    assert Dropout(1e-6)(x) is x
    with pytest.raises(ValueError, match=r"probability 1: expected 0 to less than 1"):
        Dropout(1)

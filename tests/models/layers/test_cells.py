import pytest
import torch
from frostgrid.models.layers.cells import SpatialGate, Standardize


def test_standardize_brings_channels_to_mean_0_and_cells_to_one_length():
    torch.manual_seed(0)
    cells = (torch.rand(50, 9, 6) * torch.tensor([1.0, 2, 3, 0.1, 5, 6]) + 10).half()
    layer = Standardize(6, unit=True)
    layer.fit(cells)
    flat = (cells.float().reshape(-1, 6) - layer.mean) * layer.inverse_deviation
    torch.testing.assert_close(flat.mean(0), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(flat.std(0, correction=0), torch.ones(6), atol=1e-4, rtol=0)
    out = layer(cells)
    torch.testing.assert_close(out.norm(dim=2), torch.full((50, 9), 6**0.5), atol=1e-3, rtol=0)


def test_standardize_leaves_a_dead_channel_at_zero():
    cells = torch.rand(20, 4, 3)
    cells[:, :, 1] = 7
    layer = Standardize(3)
    layer.fit(cells)
    assert (layer(cells)[:, :, 1] == 0).all()


def test_standardize_can_be_off():
    cells = torch.rand(2, 4, 3).half()
    assert (Standardize(3, enabled=False)(cells) == cells.float()).all()


@pytest.mark.parametrize("shape", [(8, 6), (8, 4, 6)])
def test_what_follows_an_encoder_does_not_see_what_moves_all_images_alike(shape):
    torch.manual_seed(0)
    cells = torch.rand(shape)
    cells[..., 2] = 3
    layer = Standardize(6, unit=True)
    layer.fit(cells)
    still = layer(cells)
    layer.follows = True
    torch.testing.assert_close(layer(cells), still, atol=1e-3, rtol=1e-3)
    moved = (cells + 8 * torch.rand(6)).requires_grad_()
    out = layer(moved)
    torch.testing.assert_close(out, still, atol=1e-3, rtol=1e-3)
    (out * torch.rand(shape)).sum().backward()
    assert moved.grad.abs().max() > 1e-2
    assert moved.grad.flatten(0, -2).sum(0).abs().max() < 1e-4


def test_what_follows_goes_by_the_running_mean_when_it_does_not_learn():
    torch.manual_seed(0)
    cells = torch.rand(8, 6)
    layer = Standardize(6)
    layer.fit(cells)
    still, layer.follows = layer(cells), True
    for _ in range(200):
        layer(3 * cells + 5)
    torch.testing.assert_close(layer.eval()(3 * cells + 5), still, atol=1e-3, rtol=1e-3)
    before = layer.mean.clone()
    layer(cells)
    assert torch.equal(layer.mean, before)


def test_a_single_image_is_not_its_own_mean():
    cells = torch.rand(8, 6)
    layer = Standardize(6)
    layer.fit(cells)
    layer.follows = True
    still = layer.eval()(cells[:1])
    assert torch.equal(layer.train()(cells[:1]), still)
    layer.total, layer.n_rows = lambda mine: 2 * mine, 1  # two processes with the same image
    assert torch.equal(layer(cells[:1]), still)


def test_the_statistics_are_those_of_the_images_of_all_processes():
    cells = torch.rand(8, 6)
    whole, part = Standardize(6), Standardize(6)
    for layer in (whole, part):
        layer.fit(cells)
        layer.follows = True
    away = cells[3:] - part.mean
    rest = torch.cat([away.sum(0), away.square().sum(0), torch.tensor([5.0])])
    part.total = lambda mine: mine + rest
    torch.testing.assert_close(part(cells[:3]), whole(cells)[:3])
    torch.testing.assert_close(part.mean, whole.mean)
    torch.testing.assert_close(part.inverse_deviation, whole.inverse_deviation)


def test_the_gate_acts_before_the_pooling():
    gate = SpatialGate(3)
    cells = torch.rand(2, 4, 3)
    weight = torch.sigmoid(cells @ gate.gate.weight[0] + gate.gate.bias)
    torch.testing.assert_close(gate(cells), (weight[:, :, None] * cells).mean(1))

import torch
from frostgrid.models.cells import SpatialGate, Standardize


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


def test_the_gate_acts_before_the_pooling():
    gate = SpatialGate(3)
    cells = torch.rand(2, 4, 3)
    weight = torch.sigmoid(cells @ gate.gate.weight[0] + gate.gate.bias)
    torch.testing.assert_close(gate(cells), (weight[:, :, None] * cells).mean(1))

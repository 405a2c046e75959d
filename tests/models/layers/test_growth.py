import torch
from frostgrid.models.layers.growth import Growth, growth
from torch import nn


def test_a_factor_of_one_is_no_factor():
    assert isinstance(growth(1.0), nn.Identity)
    assert not list(growth(1.0).parameters())


def test_the_factor_is_learned_and_keeps_the_dtype():
    module = growth(0.25)
    assert isinstance(module, Growth)
    x = torch.full((2, 3), 2.0, dtype=torch.bfloat16)
    scaled = module(x)
    assert scaled.dtype == torch.bfloat16
    torch.testing.assert_close(scaled, torch.full_like(x, 0.5))
    scaled.float().sum().backward()
    torch.testing.assert_close(module.factor.grad, torch.tensor(12.0))

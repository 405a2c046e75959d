import pytest
import torch
from frostgrid.train.checkpoint import read_tensors
from frostgrid.train.run_folder import RunFolder
from frostgrid.train.steps.averaging import WeightAverage
from torch import nn


@pytest.mark.parametrize("decay", [0.0, 0.2, 0.99])
def test_the_average_is_that_of_its_definition(decay):
    torch.manual_seed(0)
    weights = nn.Parameter(torch.randn(3, 4))
    average = WeightAverage({"w": weights}, decay)
    expected = weights.detach().double()
    for update in range(1, 40):
        weights.data.add_(torch.randn(3, 4))
        average.update(update)
        d = min(decay, (1 + update) / (10 + update))
        expected = d * expected + (1 - d) * weights.detach().double()
    torch.testing.assert_close(average.tensors["w"].double(), expected, rtol=1e-5, atol=1e-5)


def test_the_weights_are_the_average_within_and_themselves_again_after():
    weights = nn.Parameter(torch.ones(2))
    average = WeightAverage({"w": weights}, 0.5)
    weights.data.fill_(3.0)
    with average.applied():
        assert weights.tolist() == [1, 1]
    assert weights.tolist() == [3, 3]
    assert average.tensors["w"].tolist() == [1, 1]


def test_a_small_run_keeps_the_average_as_its_best_and_both_to_go_on(runs):
    run = RunFolder(runs["mean-embed"])
    assert run.read_config().optimisation.averaging == 0.99
    best, about = read_tensors(run.best)
    last, _ = read_tensors(run.last)
    averaged = {k.removeprefix("average."): v for k, v in last.items() if k.startswith("average.")}
    assert averaged.keys() <= best.keys()
    moved = [k for k, v in averaged.items() if not torch.equal(v, last[f"head.{k}"])]
    assert moved
    if about["epoch"] == 2:  # the last one of the fixture's runs
        assert all(torch.equal(best[k], v) for k, v in averaged.items())

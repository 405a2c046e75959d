"""The network's last block, on its own and in front of a head."""

import copy

import pytest
import torch
from frostgrid.featurize.backbones import load_backbone, native_grid
from frostgrid.featurize.network import build_network
from frostgrid.models.config import CaptionHeadConfig, VqaHeadConfig
from frostgrid.models.finetuned import Encoder, GridShapes, put_behind
from frostgrid.models.layers.additive_attention import set_kernels
from frostgrid.models.registry import HEADS

CPU = torch.device("cpu")


@pytest.mark.parametrize("size", [72, 448])
def test_an_encoder_makes_of_stored_cells_what_the_whole_network_makes_of_images(size, resnet):
    images = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8)
    whole = build_network(resnet, CPU, torch.float32)
    start = load_backbone("resnet18", "layer3", "random", 0)
    shape = native_grid("layer3", size)
    assert start.network(torch.zeros(1, 3, size, size)).shape[2:] == shape
    first = build_network(start, CPU, torch.float32, shape=shape)
    cells, _ = first(images)
    assert cells.shape == (2, shape[0] * shape[1], 256)
    expected = whole(images)
    block = copy.deepcopy(resnet.network.layer4)
    for pooled in (False, True):
        encoder = Encoder(block, GridShapes(shape, (14, 14)), pooled).train()
        with torch.no_grad():
            found = encoder(cells)
        torch.testing.assert_close(found, expected[pooled], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["san", "mean-embed", "show-attend-tell", "up-down"])
def test_the_block_learns_and_its_batch_norms_stay(name, resnet):
    torch.manual_seed(0)
    config = (
        VqaHeadConfig(n_words=9, n_answers=5, channels=512)
        if HEADS[name].task == "vqa"
        else CaptionHeadConfig(n_words=9, channels=512)
    )
    stage = copy.deepcopy(resnet.network.layer4)
    head = HEADS[name](config)
    encoder = Encoder(stage, GridShapes((4, 4), (14, 14)), head.features == "pooled")
    model = put_behind(encoder, head)
    before = {key: value.clone() for key, value in model.encoder.state_dict().items()}
    model.train()
    cells = torch.rand(3, 16, 256)
    index = torch.tensor([0, 0, 1, 2])
    out = model(cells, index, torch.randint(4, 9, (4, 6)), torch.tensor([3, 6, 4, 5]))
    (out if torch.is_tensor(out) else out.scores).square().sum().backward()
    for key, value in model.encoder.named_parameters():
        is_norm = "bn" in key or "downsample.1" in key
        assert value.requires_grad != is_norm, key
        assert is_norm or value.grad.abs().sum() > 0, key
    assert all(torch.equal(before[k], v) for k, v in model.encoder.state_dict().items())


class Drift(torch.nn.Module):
    """A block that can only move all images alike: what a step of the encoder does most."""

    def __init__(self, channels):
        super().__init__()
        self.shift = torch.nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, grid):
        return grid + self.shift


@pytest.mark.parametrize("moves", [True, False])
def test_a_head_tells_images_apart_wherever_the_encoder_has_moved_them(moves):
    """By the first mean all images would be one vector: mean-embed lost the image in 8 steps."""
    torch.manual_seed(0)
    config = VqaHeadConfig(n_words=9, n_answers=5, channels=16, dropout=0.0)
    encoder = Encoder(Drift(16), GridShapes((4, 4), (4, 4)), pooled=True)
    model = put_behind(encoder, HEADS["mean-embed"](config), moves)
    cells = torch.rand(6, 16, 16)
    model.fit_features(cells)
    asked = torch.arange(6), torch.full((6, 3), 4), torch.full((6,), 3)

    @torch.no_grad()
    def spread():
        return model(cells, *asked).std(0).mean().item()

    before = spread()
    with torch.no_grad():
        encoder.block.shift += 30
    model.train()
    assert (spread() > 0.9 * before) == moves
    for _ in range(150):
        model(cells, *asked)
    model.eval()
    assert (spread() > 0.9 * before) == moves


@pytest.mark.parametrize("name", ["san", "mean-embed", "show-attend-tell"])
def test_a_checkpoint_names_the_encoder_s_weights_and_the_head_s(name):
    kind = VqaHeadConfig if HEADS[name].task == "vqa" else CaptionHeadConfig
    sizes = {"n_answers": 5} if kind is VqaHeadConfig else {}
    alone = HEADS[name](kind(n_words=9, channels=16, **sizes))
    head = HEADS[name](kind(n_words=9, channels=16, **sizes))
    pooled = head.features == "pooled"
    model = put_behind(Encoder(Drift(16), GridShapes((4, 4), (4, 4)), pooled), head)
    state = model.state_dict()
    names = {"encoder.block.shift", *(f"head.{key}" for key in alone.state_dict())}
    assert set(state) == names
    assert [p.shape for p in model.own_parameters()] == [p.shape for p in alone.parameters()]
    state["encoder.block.shift"] += 3
    state["head.cells.mean"] += 2
    copied = copy.deepcopy(model)
    copied.load_state_dict({key: value.clone() for key, value in state.items()})
    found = copied.state_dict()
    assert all(torch.equal(found[key], value) for key, value in state.items())
    with pytest.raises(RuntimeError, match=r"encoder\.block\.shift"):
        model.load_state_dict(alone.state_dict())


def test_half_of_the_grids_are_mirrored_while_training_alone():
    encoder = Encoder(torch.nn.Identity(), GridShapes((2, 3), (2, 3)), pooled=False, flip=True)
    cells = torch.arange(400 * 6 * 2.0).reshape(400, 6, 2)
    mirrored = cells[:, [2, 1, 0, 5, 4, 3]]
    torch.manual_seed(0)
    found = encoder(cells)
    is_mirrored = (found == mirrored).all((1, 2))
    assert 150 < is_mirrored.sum() < 250
    assert torch.equal(torch.where(is_mirrored[:, None, None], mirrored, cells), found)
    assert torch.equal(encoder.eval()(cells), cells)


def test_a_decoder_shares_the_gradient_of_cells_that_have_one():
    """The sum over the steps is that of plain autograd."""
    torch.manual_seed(0)
    head = HEADS["show-attend-tell"](CaptionHeadConfig(n_words=9, channels=16, dropout=0.0))
    tokens, length = torch.randint(4, 9, (4, 6)), torch.tensor([6, 3, 4, 5])
    gradients = []
    for kernels in ("auto", "plain"):
        cells = torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(1))
        cells.requires_grad_(True)
        set_kernels(kernels)
        out = head(cells, torch.tensor([0, 1, 1, 0]), tokens, length)
        out.scores.square().sum().backward()
        gradients.append(cells.grad)
    set_kernels("auto")
    assert gradients[0].abs().sum() > 0
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)

"""Every tensor is made where the model is: shown on a CUDA device without a GPU."""

import ast
from dataclasses import replace
from pathlib import Path

import frostgrid
import numpy as np
import pytest
import torch
from frostgrid.models.base import CaptionHead
from frostgrid.models.beam import BeamOptions, search
from frostgrid.models.config import CaptionHeadConfig, VqaHeadConfig
from frostgrid.models.finetuned import Encoder, GridShapes, put_behind
from frostgrid.models.kernels.choice import kernels
from frostgrid.models.registry import HEADS
from frostgrid.train.data.batches import Batch, Part
from frostgrid.train.data.resident import PaddedBatch
from frostgrid.train.features.split import Cells
from frostgrid.train.tasks.captions import CaptionTask
from frostgrid.train.tasks.vqa import VqaTask
from reference.fake_cuda import DEVICE, fake_cuda, gradients
from torch import nn

U, S, D, B, T, V, A = 4, 9, 16, 10, 3, 50, 20
CAPTIONS = [name for name, head in HEADS.items() if head.task == "caption"]


def build(name):
    sizes = {"embedding": 8, "hidden": 16, "attention": 8}
    with DEVICE:
        if HEADS[name].task == "vqa":
            return HEADS[name](VqaHeadConfig(V, A, D, classifier=8, **sizes))
        return HEADS[name](CaptionHeadConfig(V, D, sampling=0.2, word_dropout=0.1, **sizes))


def zeros(*shape, dtype=torch.long):
    return torch.zeros(shape, dtype=dtype, device=DEVICE)


def quantised(head, n_images=U):
    """Features as a file of bytes holds them."""
    if head.features == "none":
        return None
    shape = (n_images, S) if head.features == "grid" else (n_images,)
    return Cells(zeros(*shape, D, dtype=torch.uint8), zeros(*shape, dtype=torch.float16))


def losses(head):
    """The losses of a batch by the tasks that train such heads."""
    length = torch.full((B,), T)  # on the host, where a step need not wait for it
    inputs = (np.arange(B), quantised(head), zeros(B), zeros(B, T), length)
    if isinstance(head, CaptionHead):
        task = object.__new__(CaptionTask)  # without its data
        task.head, task.attention_penalty = head, 1.0
        return task.loss(Batch(*inputs, (), Part(U, B)))
    task = object.__new__(VqaTask)
    task.head, task.loss_kind = head, "soft"
    soft = task.loss(Batch(*inputs, (zeros(5), zeros(5), zeros(5, dtype=torch.float)), Part(U, B)))
    task.loss_kind = "commonest"
    return soft + task.loss(Batch(*inputs, (zeros(B),), Part(U, B)))


def check_step(head):
    found = gradients(losses(head))
    learning = {p for p in head.parameters() if p.requires_grad}
    assert set(found) == learning
    assert all(gradient.device == DEVICE for gradient in found.values())


MODES = [("auto", None), ("auto", torch.bfloat16), ("plain", torch.float16)]


@pytest.fixture(params=MODES, ids=["fused", "fused bfloat16", "plain float16"])
def cuda(request):
    """The device, with and without our kernels and autocast."""
    mode, amp = request.param
    if mode == "auto":
        pytest.importorskip("triton", reason="Triton is not installed here")
    with fake_cuda(amp), kernels(mode):
        yield


@pytest.mark.parametrize("name", HEADS)
def test_a_training_step(name, cuda) -> None:
    check_step(build(name))


def padded_losses(head):
    """The losses of a padded batch, whose shapes depend on no number."""
    true = torch.ones(B, dtype=torch.bool, device=DEVICE)
    batch = PaddedBatch(
        *(quantised(head), zeros(B), zeros(B, T), zeros(B) + 1, ()),
        is_sample=true,
        is_image=true[:U],
    )
    if isinstance(head, CaptionHead):
        task = object.__new__(CaptionTask)
        task.head, task.attention_penalty = head, 1.0
        return task.padded_loss(batch)
    task = object.__new__(VqaTask)
    task.head = head
    soft = zeros(B, 3), zeros(B, 3, dtype=torch.float)
    losses = [task.padded_loss(replace(batch, target=target)) for target in (soft, (zeros(B),))]
    return sum(losses)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize(("mode", "amp"), MODES[1:])
def test_a_padded_step_waits_for_no_number(name, mode, amp) -> None:
    if mode == "auto":
        pytest.importorskip("triton", reason="Triton is not installed here")
    with fake_cuda(amp, waits=False), kernels(mode):
        head = build(name)
        found = gradients(padded_losses(head))
    assert set(found) == {p for p in head.parameters() if p.requires_grad}


@pytest.mark.parametrize("name", ["mean-embed", "show-attend-tell"])
def test_a_training_step_behind_an_encoder(name) -> None:
    with fake_cuda(), kernels("plain"):
        head = build(name)
        with DEVICE:
            block = nn.Sequential(nn.Conv2d(D, D, 1), nn.BatchNorm2d(D))
        head = put_behind(Encoder(block, GridShapes((3, 3), (2, 2)), name == "mean-embed"), head)
        head.fit_features(zeros(U, S, D, dtype=torch.float16))
        check_step(head)


@pytest.mark.parametrize("name", CAPTIONS)
def test_a_beam_search(name) -> None:
    options = BeamOptions(3, 4, 1.0, no_repeated_trigrams=True)
    with fake_cuda(torch.bfloat16), kernels("plain"):
        head = build(name).eval()
        assert len(search(head, quantised(head, n_images=2).floats(), options)) == 2


@pytest.mark.parametrize("name", [name for name, head in HEADS.items() if head.task == "vqa"])
def test_an_answer_with_its_attention(name) -> None:
    with fake_cuda(), kernels("plain"), torch.no_grad():
        head = build(name).eval()
        cells = quantised(head)
        features = None if cells is None else cells.floats()
        length = torch.full((B,), T, device=DEVICE)
        scores, attentions = head.with_attention(features, zeros(B), zeros(B, T), length)
    assert all(x.device == DEVICE for x in (scores, *attentions))


# What makes a tensor on the CPU unless it is told where; dtypes and devices of others are taken by
# ``zeros_like`` and ``new_zeros``.
FACTORIES = {
    *("empty", "zeros", "ones", "full", "arange", "linspace", "eye", "tensor", "as_tensor"),
    *("rand", "randn", "randint", "randperm", "scalar_tensor"),
}


def homeless(path: Path) -> list[int]:
    """Lines that make a tensor and do not say where; those of a new module's parameters may."""
    found = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of_torch = isinstance(node.func.value, ast.Name) and node.func.value.id == "torch"
            said = any(keyword.arg in ("device", "pin_memory") for keyword in node.keywords)
            if of_torch and node.func.attr in FACTORIES and not said:
                found.append(node.lineno)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


@pytest.mark.parametrize("folder", ["models", "train"])
def test_every_tensor_that_is_made_says_where_it_lives(folder) -> None:
    root = Path(frostgrid.__file__).parent / folder
    found = {path.name: lines for path in root.rglob("*.py") if (lines := homeless(path))}
    assert not found

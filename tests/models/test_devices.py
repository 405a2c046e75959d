"""Every tensor is made where the model is: shown on a CUDA device that is not there."""

import pytest
import torch
from frostgrid.models.base import CaptionHead
from frostgrid.models.config import CaptionHeadConfig, VqaHeadConfig
from frostgrid.models.kernels.choice import kernels
from frostgrid.models.registry import HEADS
from reference.fake_cuda import DEVICE, fake_cuda, gradients

U, S, D, B, T, V, A = 4, 9, 16, 10, 3, 50, 20


def build(name):
    sizes = {"embedding": 8, "hidden": 12, "attention": 8}
    if HEADS[name].task == "vqa":
        return HEADS[name](VqaHeadConfig(V, A, D, classifier=8, **sizes))
    return HEADS[name](CaptionHeadConfig(V, D, sampling=0.2, word_dropout=0.1, **sizes))


@pytest.mark.parametrize(
    "mode, amp", [("auto", None), ("auto", torch.bfloat16), ("plain", torch.float16)]
)
@pytest.mark.parametrize("name", HEADS)
def test_heads_forward_and_backward(name, mode, amp) -> None:
    if mode == "auto":
        pytest.importorskip("triton", reason="Triton is not installed here")
    with fake_cuda(amp), kernels(mode):
        with DEVICE:
            head = build(name)
        shape = {"none": None, "pooled": (U, D), "grid": (U, S, D)}[head.features]
        features = None
        if shape is not None:
            features = torch.zeros(shape, dtype=torch.float16, device=DEVICE)
        index = torch.zeros(B, dtype=torch.long, device=DEVICE)
        tokens = torch.zeros(B, T, dtype=torch.long, device=DEVICE)
        out = head(features, index, tokens, length_of(name))
        scores = out.scores if isinstance(head, CaptionHead) else out
        assert scores.device == DEVICE
        found = gradients(scores.float().sum())
        assert all(gradient.device == DEVICE for gradient in found.values())
        assert all(p in found for p in head.parameters())


def length_of(name):
    return torch.full((B,), T, device=DEVICE)

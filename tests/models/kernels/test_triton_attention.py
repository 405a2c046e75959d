import os
import subprocess
import sys

import pytest
import torch
from frostgrid.models.layers.additive_attention import additive_scores, attend, kernels

pytest.importorskip("triton", reason="Triton is not installed here")

# Triton can run its kernels on the CPU, one element after the other, or compile them for a GPU
# that is absent; both are decided when it is imported, so they need a process of their own.
INTERPRET = """
from functools import partial

import torch
from frostgrid.models.layers import additive_attention as attention
from frostgrid.models.kernels import cuda, functions
from frostgrid.models.kernels.shared_cells import SharedCells

def run(cells, query, weight, alpha, index, score, attend):
    shared = SharedCells(cells)
    scores = [score(cells, query, weight, index)]
    sums = [attend(cells, alpha, index)]
    for n in (5, 2):
        scores.append(score(shared, query[:n], weight, index[:n]))
        sums.append(attend(shared, alpha[:n], index[:n]))
    total = sum(part.square().sum() for part in scores + sums)
    return *scores, *sums, *torch.autograd.grad(total, (cells, query, weight, alpha))

for cuda.BY_IMAGE, dtype, tolerance in (
    (False, torch.float32, 2e-6), (True, torch.float32, 2e-6), (True, torch.bfloat16, 0.02),
):
    torch.manual_seed(0)
    case = [torch.randn(3, 17, 130).to(dtype), torch.randn(5, 130), torch.randn(130),
            torch.rand(5, 17)]
    case = [tensor.requires_grad_() for tensor in case]
    index = torch.tensor([2, 0, 2, 2, 0])
    ours = run(*case, index, partial(functions.additive_scores, cuda),
               partial(functions.attend, cuda))
    with attention.kernels("plain"):
        plain = run(*case, index, attention.additive_scores, attention.attend)
    for a, b in zip(ours, plain, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert (a - b).abs().max() <= tolerance * b.abs().max(), (dtype, a.shape)

cells, query, weight, alpha = case
large = torch.tensor([[float("inf")], [float("-inf")], [float("nan")], [100.0]])
found = functions.additive_scores(
    cuda, large[:, None], torch.zeros(4, 1), torch.ones(1), torch.arange(4)
)
assert torch.equal(found[[0, 1, 3], 0], torch.tensor([1.0, -1.0, 1.0])) and found[2, 0].isnan()
wrong = torch.tensor([0, 3, -1, 1, 0])
for cuda.BY_IMAGE in (False, True):
    ours = run(cells, query, weight, alpha, wrong, partial(functions.additive_scores, cuda),
               partial(functions.attend, cuda))
    for out in (ours[0], ours[3]):
        assert out.isnan().all(1).tolist() == [False, True, True, False, False]
    assert ours[6].isfinite().all()  # the cells' gradient, from the others alone
"""
COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from frostgrid.models.kernels import triton_kernels

FLOAT, NUMBER, QUERIES = "*fp32", "i32", 3 * ["*i64"]
for cells in ("*fp32", "*bf16"):
    for name, types in {
        "score": [cells, FLOAT, FLOAT, *QUERIES, FLOAT, *3 * [NUMBER]],
        "query_gradients": [cells, FLOAT, FLOAT, *QUERIES, *3 * [FLOAT], *3 * [NUMBER]],
        "projected_gradients": [cells, FLOAT, FLOAT, *QUERIES, FLOAT, cells, *2 * [NUMBER]],
        "add_up": [cells, FLOAT, *QUERIES, FLOAT, *3 * [NUMBER]],
        "alpha_gradients": [cells, *QUERIES, FLOAT, FLOAT, *3 * [NUMBER]],
        "value_gradients": [FLOAT, *QUERIES, FLOAT, cells, *2 * [NUMBER]],
    }.items():
        kernel = getattr(triton_kernels, name)
        constants = {"CELLS": 16, "CHANNELS": 128}
        constants |= dict.fromkeys({"ACCUMULATE", "BY_IMAGE"} & {*kernel.arg_names}, True)
        signature = dict(zip(kernel.arg_names, types)) | dict.fromkeys(constants, "constexpr")
        constexprs = {(kernel.arg_names.index(key),): value for key, value in constants.items()}
        source = ASTSource(fn=kernel, signature=signature, constexprs=constexprs)
        target, options = GPUTarget("cuda", 90, 32), {"enable_fp_fusion": True}
        assert triton.compile(source, target=target, options=options).asm["ptx"]
"""


def run(program: str, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        timeout=240,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_kernels_interpreted_on_the_cpu_equal_the_plain_form() -> None:
    run(INTERPRET, TRITON_INTERPRET="1")


def test_kernels_compile_for_a_gpu_that_is_not_there(tmp_path) -> None:
    run(COMPILE, TRITON_CACHE_DIR=str(tmp_path))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_kernels_on_the_gpu_equal_the_plain_form(dtype) -> None:
    torch.manual_seed(0)
    cells = torch.randn(20, 196, 512, device="cuda").to(dtype).requires_grad_()
    query, weight = torch.randn(100, 512, device="cuda"), torch.randn(512, device="cuda")
    index = torch.randint(20, (100,), device="cuda")
    query.requires_grad_(), weight.requires_grad_()
    results = []
    for mode in ("auto", "auto", "plain"):
        with kernels(mode):
            scores = additive_scores(cells, query, weight, index)
            seen = attend(cells, scores.softmax(1), index)
            grads = torch.autograd.grad(seen.square().sum(), (cells, query, weight))
        results.append((scores, seen, *grads))
    tolerance = 1e-5 if dtype == torch.float32 else 2**-7
    for first, again, plain in zip(*results, strict=True):
        assert torch.equal(first, again)
        assert (first - plain).abs().max() <= tolerance * plain.abs().max()

"""Additive attention by several threads, from several threads, and in a forked process."""

import subprocess
import sys

import pytest
import torch
from frostgrid.models.layers.additive_attention import additive_scores, attend
from reference.attention_cases import make, scored
from reference.callers import call_at_once

pytestmark = pytest.mark.usefixtures("smallest_to_kernels", "on_two_threads")


@pytest.mark.parametrize("index", ["sorted", "shuffled", "one image"])
def test_the_same_bits_on_any_number_of_threads(index) -> None:
    case = make(n_images=13, n_cells=20, width=70, n_queries=60, seed=5)
    if index == "sorted":
        case.image_index = case.image_index.sort()[0]
    if index == "one image":
        case.image_index = torch.full_like(case.image_index, 4)
    results = []
    for n_threads in (1, 2, 3, 2):
        torch.set_num_threads(n_threads)
        leaves = [
            x.clone().requires_grad_()
            for x in (case.projected, case.query, case.weight, case.alpha)
        ]
        scores = additive_scores(*leaves[:3], case.image_index)
        sums = attend(leaves[0], leaves[3] + scores, case.image_index)
        sums.square().sum().backward()
        results.append([scores.detach(), sums.detach(), *(leaf.grad for leaf in leaves)])
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))


def test_several_python_threads_at_once() -> None:
    cases = [make(n_images=9, n_cells=20, width=50, n_queries=40, seed=i) for i in range(4)]
    expected = [additive_scores(*scored(case)) for case in cases]
    wrong: list[int] = []

    def repeat(i: int) -> None:
        for _ in range(30):
            if not torch.equal(additive_scores(*scored(cases[i])), expected[i]):
                wrong.append(i)

    call_at_once(repeat)
    assert not wrong


FORK = """
import os, sys, warnings
import frostgrid.models.layers.additive_attention as attention
assert "numba" not in sys.modules, "numba is imported before it is needed"
import torch
from frostgrid.models.kernels import choice, threads
warnings.simplefilter("ignore")  # Python 3.12 warns of any fork beside threads
torch.set_num_threads(2)
threads.SERIAL_STEPS = choice._FEW_STEPS = 0
torch.manual_seed(0)
case = torch.randn(9, 8, 30), torch.randn(20, 30), torch.randn(30), torch.arange(20) % 9
before = attention.additive_scores(*case)
child = os.fork()
if child == 0:
    same = torch.equal(attention.additive_scores(*case), before)
    os._exit(0 if same else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="the system has no fork")
def test_a_forked_child_computes_and_the_import_is_light() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK], timeout=120, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

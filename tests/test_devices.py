import pytest
import torch
from frostgrid.devices import pick_device
from frostgrid.errors import InputError


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_said():
    assert pick_device("auto").type == "cpu"
    with pytest.raises(InputError, match="sees no CUDA device"):
        pick_device("cuda")


@pytest.mark.parametrize("name", ["gpu", "cpu:x", "cpu:1", "cuda:x", "cuda:", "", "cuda:-1", "mps"])
def test_what_is_no_device_is_said(name):
    with pytest.raises(InputError, match="there is no such device; choose auto, cpu or cuda"):
        pick_device(name)


def test_each_process_takes_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert str(pick_device("auto")) == "cuda:0"
    assert [str(pick_device("cuda", rank)) for rank in range(4)] == ["cuda:0", "cuda:1"] * 2
    assert str(pick_device("cuda:1")) == "cuda:1"
    with pytest.raises(InputError, match="2 CUDA devices, of which process 3 asks for number 2"):
        pick_device("auto", 2, shared=False)
    with pytest.raises(InputError, match="asks for number 7"):
        pick_device("cuda:7")

import pytest
import torch
from frostgrid.models.kernels import choice
from frostgrid.models.layers import attention_timing
from frostgrid.models.layers.attention_timing import settle_attention


@pytest.mark.parametrize("fastest", ["query", "image", "plain"])
def test_the_fastest_form_is_used(fastest, monkeypatch) -> None:
    cuda = pytest.importorskip("frostgrid.models.kernels.cuda", reason="Triton is not installed")
    monkeypatch.setattr(cuda, "BY_IMAGE", False)
    monkeypatch.setattr(choice, "_mode", "auto")
    measured = attention_timing.measure

    def measure(call, device):
        assert measured(call, device) > 0
        form = "plain" if choice._mode == "plain" else "image" if cuda.BY_IMAGE else "query"
        if form == "query" != fastest:
            raise RuntimeError("it does not run here")
        return 0.001 if form == fastest else 0.002

    monkeypatch.setattr(attention_timing, "measure", measure)
    said = settle_attention(torch.device("cpu"), torch.bfloat16, 5)
    assert f"attention is {attention_timing.FORMS[fastest]}; forward and backward take" in said
    assert choice._mode == ("plain" if fastest == "plain" else "auto")
    assert (fastest == "image") == cuda.BY_IMAGE

import pytest
import torch
from frostgrid.models.kernels import choice, cpu
from frostgrid.models.layers.additive_attention import additive_scores, attend
from frostgrid.models.layers.recurrent import lstm_step

CPU = torch.device("cpu")


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_kernels_are_tried_forward_and_backward_in_any_mode(context) -> None:
    """Prediction runs without gradients; the first call there must not reject the kernels."""
    with context():
        choice.try_kernels(cpu, CPU)
        assert torch.is_inference_mode_enabled() == (context is torch.inference_mode)


def test_kernels_that_compute_something_else_are_rejected(monkeypatch) -> None:
    monkeypatch.setattr(cpu, "add_up", lambda values, alpha, by_image, out: out.zero_())
    with pytest.raises(RuntimeError, match=r"they computed 0\.0 and"):
        choice.try_kernels(cpu, CPU)


def test_an_lstm_step_is_tried_before_it_is_used() -> None:
    with torch.inference_mode():
        choice.try_lstm(lstm_step, CPU)
    with pytest.raises(RuntimeError, match="it computed"):
        choice.try_lstm(lambda gates, cell: (gates[:, :1], cell + gates[:, 1:2]), CPU)


@pytest.mark.usefixtures("smallest_to_kernels")
def test_a_cuda_device_that_cannot_run_kernels_is_said_once(monkeypatch) -> None:
    def fail(backend: object, device: torch.device) -> None:
        raise RuntimeError("no compiler")

    pytest.importorskip("triton", reason="Triton is not installed here")
    monkeypatch.setattr(choice, "try_kernels", fail)
    choice._cuda.cache_clear()
    with pytest.warns(UserWarning, match=r"do not run on this GPU \(no compiler\)"):
        assert choice._cuda() is None
    assert choice._cuda() is None  # warnings are errors in tests
    choice._cuda.cache_clear()


@pytest.mark.usefixtures("smallest_to_kernels")
def test_fused_attention_in_inference_mode_equals_that_of_training() -> None:
    torch.manual_seed(0)
    cells, query, weight = torch.randn(2, 9, 8), torch.randn(3, 8), torch.randn(8)
    index = torch.tensor([0, 0, 1])
    trained = attend(cells, additive_scores(cells, query, weight, index), index)
    with torch.inference_mode():
        found = attend(cells, additive_scores(cells, query, weight, index), index)
    assert torch.equal(found, trained)

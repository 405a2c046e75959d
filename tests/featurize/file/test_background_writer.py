from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from frostgrid.errors import InputError
from frostgrid.featurize.extract import Extractor
from frostgrid.featurize.file.background_writer import cut_utf8
from frostgrid.featurize.file.layout import DONE
from frostgrid.featurize.file.reader import open_features
from frostgrid.featurize.jobs import Job
from hypothesis import given
from hypothesis import strategies as st

Run = Callable[..., Any]


def test_features_that_are_no_numbers_are_never_kept(
    run: Run, job: Job, extractor: Extractor
) -> None:
    class Broken(torch.nn.Module):
        mean = torch.zeros(1)
        shape = (14, 14)

        def describe(self) -> str:
            return "float32 on cpu"

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.full((len(images), 196, 256), torch.inf), torch.zeros(len(images), 256)

    with pytest.raises(InputError, match=r"rows 0–3 is not a finite number"):
        run(job, replace(extractor, network=Broken()))
    assert not (open_features(job.out).status == DONE).any()


@given(st.text(max_size=30), st.integers(0, 20))
def test_texts_are_cut_between_characters(text: str, n_bytes: int) -> None:
    cut = cut_utf8(text, n_bytes)
    assert len(cut) <= n_bytes
    assert text.encode(errors="replace").startswith(cut)
    cut.decode()

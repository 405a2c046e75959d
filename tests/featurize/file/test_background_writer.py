from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from frostgrid.errors import InputError
from frostgrid.featurize.decode.batches import DecodedBatch
from frostgrid.featurize.extract import Extractor
from frostgrid.featurize.file import background_writer
from frostgrid.featurize.file.background_writer import BackgroundWriter, Computed, cut_utf8
from frostgrid.featurize.file.layout import DONE
from frostgrid.featurize.file.reader import open_features
from frostgrid.featurize.file.verify import verify
from frostgrid.featurize.file.writer import RowWriter
from frostgrid.featurize.jobs import Job
from frostgrid.featurize.network import all_finite
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


@pytest.mark.parametrize("kind", [torch.float16, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("at", [0, 5, 1023])
def test_one_bad_value_is_found(kind: torch.dtype, bad: float, at: int) -> None:
    grid, pooled = torch.randn(3, 32, 32).to(kind), torch.randn(3, 32).to(kind)
    assert all_finite({"grid": grid, "pooled": pooled}).tolist() == [True] * 3
    grid.view(3, -1)[1, at] = bad
    pooled[2, 0] = bad
    assert all_finite({"grid": grid, "pooled": pooled}).tolist() == [True, False, False]


@pytest.mark.parametrize("n_threads", [1, 3, 8])
def test_any_number_of_threads_writes_the_same(
    run: Run, job: Job, extractor: Extractor, tmp_path: Path, n_threads: int
) -> None:
    class Threaded(Extractor):
        n_writers = n_threads  # type: ignore[assignment]

    expected = run(replace(job, out=tmp_path / "one.h5"), extractor)[0]
    same = {field.name: getattr(extractor, field.name) for field in fields(extractor)}
    found = run(job, Threaded(**same))[0]
    assert verify(found, lambda n: None).is_sound
    assert np.array_equal(found.grid, expected.grid)


@pytest.mark.parametrize(("wait", "expected"), [(0.0, False), (0.05, False), (0.5, True)])
def test_a_slow_disk_is_said_to_be_the_limit(
    run: Run,
    job: Job,
    extractor: Extractor,
    monkeypatch: pytest.MonkeyPatch,
    wait: float,
    expected: bool,
) -> None:
    run(job, extractor)
    now = [0.0]
    monkeypatch.setattr(background_writer.time, "monotonic", lambda: now[0])
    nothing = np.zeros(0, np.int64)
    batch = DecodedBatch(nothing, [], nothing, nothing.astype(np.uint32), nothing.astype(bool))
    with RowWriter(job.out) as writer:
        background = BackgroundWriter(writer, np.zeros(11, bool))
        accept = background._queue.put

        def put(computed: Computed | None) -> None:
            now[0] += wait
            accept(computed)

        monkeypatch.setattr(background._queue, "put", put)
        for _ in range(30):
            now[0] += 1.0  # what the network takes
            background.put(Computed(batch, {}, np.zeros(0, bool)))
        assert background.waits_for_disk == expected
        background.close()

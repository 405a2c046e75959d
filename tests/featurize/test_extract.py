import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from frostgrid.console import StopRequest
from frostgrid.datasets.images.image_list import list_folder_images
from frostgrid.distributed import Share
from frostgrid.errors import InputError
from frostgrid.featurize.decode.batches import load_image
from frostgrid.featurize.extract import Extractor, batches_to_do, extract
from frostgrid.featurize.file.layout import DONE, FAILED, TO_DO
from frostgrid.featurize.file.reader import FeatureFile, open_features
from frostgrid.featurize.file.verify import verify
from frostgrid.featurize.file.writer import RowWriter
from frostgrid.featurize.images import Preprocessing, decode_image
from frostgrid.featurize.jobs import Job
from frostgrid.featurize.prepare import locked
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

Run = Callable[..., Any]
COLUMNS = ("grid", "pooled", "crc32", "pooled_crc32", "source_bytes", "source_crc32", "status")


def contents(features: FeatureFile) -> dict[str, np.ndarray]:
    return {name: np.array(getattr(features, name)) for name in COLUMNS}


def assert_same(found: FeatureFile, expected: dict[str, np.ndarray]) -> None:
    for name, values in expected.items():
        assert np.array_equal(getattr(found, name), values), name


class StopAfter(StopRequest):
    """A signal that comes after some batches."""

    def __init__(self, n_batches: int) -> None:
        self.signal_name = "SIGTERM"
        self.answers = iter([False] * n_batches)

    def __bool__(self) -> bool:
        return next(self.answers, True)


def test_rows_equal_the_network_on_each_image(run: Run, job: Job, extractor: Extractor) -> None:
    features, n_done = run(job, extractor)
    assert n_done == 11
    assert features.is_complete
    assert features.file_name == [f"{i}.png" for i in range(11)]
    for row in range(11):
        source = load_image(job.images.path(row), extractor.preprocessing)
        with torch.inference_mode():
            grid, pooled = extractor.network(torch.tensor(source.content)[None])
        np.testing.assert_allclose(features.grid[row], grid[0], rtol=2e-3, atol=1e-4)
        np.testing.assert_allclose(features.pooled[row], pooled[0], rtol=2e-3, atol=1e-4)
        assert features.source_crc32[row] == source.crc32
        assert features.source_bytes[row] == source.n_bytes
    assert verify(features, lambda n: None).is_sound


def test_images_of_many_shapes_are_each_seen_alone(
    run: Run, job: Job, extractor: Extractor
) -> None:
    sizes = [(48, 40), (40, 48), (48, 40), (200, 9), (33, 33)]
    for i, size in enumerate(sizes):
        Image.open(job.images.path(i)).resize(size).save(job.images.path(i))
    job.images.path(6).write_bytes(b"")
    native = replace(extractor, preprocessing=Preprocessing(64, "native"), skip_errors=True)
    features, n_done = run(job, native)
    assert n_done == 10
    assert features.status.tolist() == [DONE] * 6 + [FAILED] + [DONE] * 4
    for row in np.flatnonzero(features.status == DONE):
        pixels = decode_image(job.images.path(row).read_bytes(), native.preprocessing)
        with torch.inference_mode():
            grid, pooled = extractor.network(torch.tensor(pixels)[None])
        np.testing.assert_allclose(features.grid[row], grid[0], rtol=2e-3, atol=1e-4)
        np.testing.assert_allclose(features.pooled[row], pooled[0], rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("n_batches", [0, 1, 2])
def test_a_stopped_run_goes_on_to_the_last_bit(
    run: Run, job: Job, extractor: Extractor, tmp_path: Path, n_batches: int
) -> None:
    expected = contents(run(replace(job, out=tmp_path / "whole.h5"), extractor)[0])
    with pytest.raises(InputError, match=f"stopped by SIGTERM after {4 * n_batches} more images"):
        run(job, extractor, stop=StopAfter(n_batches))
    features = open_features(job.out)
    assert (features.status == DONE).sum() == 4 * n_batches
    assert not features.grid[4 * n_batches :].any()
    features, n_done = run(job, extractor)
    assert n_done == 11 - 4 * n_batches
    assert_same(features, expected)


def test_a_finished_file_is_left_alone(run: Run, job: Job, extractor: Extractor) -> None:
    run(job, extractor)
    before = job.out.read_bytes()
    assert run(job, extractor)[1] == 0
    assert job.out.read_bytes() == before


def test_only_rows_to_do_are_written(run: Run, job: Job, extractor: Extractor) -> None:
    status = np.full(11, DONE, np.uint8)
    run(job, extractor)
    before = contents(open_features(job.out))
    with RowWriter(job.out) as writer:  # row 5 alone of its batch is to do, row 6 holds garbage
        status[5] = TO_DO
        writer.write("status", np.arange(11), status)
        garbage = np.full((1, 196, 256), 7, np.float16)
        writer.write("grid", np.array([5]), garbage)
        writer.write("grid", np.array([6]), garbage)
    features, n_done = run(job, extractor)
    assert n_done == 1
    before["grid"][6] = 7
    assert_same(features, before)


@given(
    status=st.lists(st.sampled_from([TO_DO, DONE, FAILED]), max_size=40),
    batch_size=st.integers(1, 9),
)
def test_batches_cover_what_is_to_do(status: list[int], batch_size: int) -> None:
    batches = batches_to_do(np.array(status, np.uint8), batch_size)
    rows = [row for batch in batches for row in batch.tolist()]
    assert set(rows) >= {row for row, value in enumerate(status) if value == TO_DO}
    assert rows == sorted(set(rows))
    for batch in batches:
        assert batch[0] % batch_size == 0
        assert len(batch) == min(batch_size, len(status) - batch[0])
        assert any(status[row] == TO_DO for row in batch)


def test_decoding_goes_on_ahead_in_order(job: Job, extractor: Extractor) -> None:
    batches = batches_to_do(np.zeros(11, np.uint8), 2)
    decoded = list(replace(extractor, workers=3).decode(job.images, batches))
    assert [batch.rows.tolist() for batch in decoded] == [rows.tolist() for rows in batches]
    for batch in decoded:
        (group,) = batch.groups
        for row, pixels in zip(batch.rows[group.index], group.pixels, strict=True):
            data = job.images.path(int(row)).read_bytes()
            assert np.array_equal(pixels, decode_image(data, extractor.preprocessing))


def test_ranks_share_the_batches(run: Run, job: Job, extractor: Extractor, tmp_path: Path) -> None:
    expected = contents(run(replace(job, out=tmp_path / "whole.h5"), extractor)[0])
    features, _ = run(job, extractor, share=Share(1, 2))
    assert (features.status == DONE).tolist() == [False] * 4 + [True] * 4 + [False] * 3
    to_do = np.zeros(11, np.uint8)  # what rank 0 does, that read the status before
    extract(extractor, job, to_do, StopRequest(), share=Share(0, 2))
    assert_same(open_features(job.out), expected)


def test_a_damaged_image_stops_and_is_named(run: Run, job: Job, extractor: Extractor) -> None:
    path = job.images.path(6)
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    with pytest.raises(InputError, match=r"6\.png: cannot be decoded.*--on-error skip"):
        run(job, extractor)
    assert (open_features(job.out).status == DONE).tolist() == [True] * 4 + [False] * 7
    path.write_bytes(whole)
    features, _ = run(job, extractor)
    assert features.is_complete
    assert (features.status == DONE).all()


def test_a_skipped_image_is_listed_and_tried_again_by_repair(
    run: Run, job: Job, extractor: Extractor, tmp_path: Path
) -> None:
    expected = contents(run(replace(job, out=tmp_path / "whole.h5"), extractor)[0])
    path = job.images.path(6)
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    skipping = replace(extractor, skip_errors=True)
    features, n_done = run(job, skipping)
    assert n_done == 10
    assert features.status.tolist() == [1] * 6 + [FAILED] + [1] * 4
    assert "cannot be decoded" in features.reason(6)
    assert features.reason(5) == ""
    assert not features.grid[6].any()
    assert features.is_complete
    others = np.arange(11) != 6
    assert np.array_equal(features.grid[others], expected["grid"][others])
    features, n_done = run(job, skipping)  # a finished file is not tried again
    assert n_done == 0
    assert "cannot be decoded" in features.reason(6)
    path.write_bytes(whole)
    features, n_done = run(job, skipping, repair=True)
    assert n_done == 1
    assert features.reason(6) == ""
    assert_same(features, expected)


def test_a_done_row_outlives_its_image(run: Run, job: Job, extractor: Extractor) -> None:
    before = contents(run(job, extractor)[0])
    job.images.path(6).unlink()
    with RowWriter(job.out) as writer:  # another row of its batch is to do again
        writer.write("status", np.array([5]), np.array([TO_DO], np.uint8))
    status = np.array(open_features(job.out).status)
    n_done = extract(extractor, job, status, StopRequest())
    assert n_done == 1
    assert_same(open_features(job.out), before)


def test_repair_finds_flipped_bits_and_changed_images(
    run: Run, job: Job, extractor: Extractor, tmp_path: Path
) -> None:
    features, _ = run(job, extractor)
    expected = contents(features)
    rng = np.random.default_rng(0)
    offsets = {"grid": features.grid.offset, "pooled": features.pooled.offset}
    rows = {"grid": 2, "pooled": 9}
    with job.out.open("r+b") as file:
        for name, offset in offsets.items():
            n_bytes = getattr(features, name)[0].nbytes
            position = offset + rows[name] * n_bytes + int(rng.integers(n_bytes))
            file.seek(position)
            byte = file.read(1)[0]
            file.seek(position)
            file.write(bytes([byte ^ (1 << int(rng.integers(8)))]))
    verdict = verify(open_features(job.out), lambda n: None)
    assert verdict.damaged == [2, 9]
    assert not verdict.is_sound
    features, n_done = run(job, extractor, repair=True)
    assert n_done == 2
    assert_same(features, expected)

    Image.new("RGB", (9, 9), (1, 2, 3)).save(job.images.path(4))
    with pytest.raises(InputError, match=r"1 images changed .*4\.png.*--repair"):
        run(job, extractor)
    features, n_done = run(job, extractor, repair=True)
    assert n_done == 1
    assert not np.array_equal(features.grid[4], expected["grid"][4])


def test_a_batch_of_which_no_image_can_be_read(run: Run, job: Job, extractor: Extractor) -> None:
    for row in range(4, 8):
        job.images.path(row).write_bytes(b"")
    features, n_done = run(job, replace(extractor, skip_errors=True))
    assert n_done == 7
    assert features.status.tolist() == [DONE] * 4 + [FAILED] * 4 + [DONE] * 3


def test_repair_needs_a_file(run: Run, job: Job, extractor: Extractor) -> None:
    with pytest.raises(InputError, match="nothing to repair"):
        run(job, extractor, repair=True)
    assert not job.out.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preprocessing": Preprocessing(96)}, "--image-size 32, now asked for 96"),
        ({"preprocessing": Preprocessing(32, "pad")}, "--crop squash, now asked for pad"),
        ({"preprocessing": Preprocessing(32, draft=True)}, "reduced scale"),
        ({"preprocessing": Preprocessing(32, decode="gpu")}, "--decode cpu, now asked for gpu"),
        ({"dtype": "float32"}, "--dtype float16, now asked for float32"),
    ],
)
def test_what_was_made_otherwise_is_not_mixed(
    run: Run, job: Job, extractor: Extractor, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match="stopped by"):
        run(job, extractor, stop=StopAfter(1))
    before = job.out.read_bytes()
    with pytest.raises(InputError, match=message):
        run(job, replace(extractor, **change))
    other = replace(extractor.backbone, weights_sha256="1" * 64)
    with pytest.raises(InputError, match=r"was made with weights [0-9a-f]{64}"):
        run(job, replace(extractor, backbone=other))
    assert job.out.read_bytes() == before


def test_another_list_of_images_is_not_mixed(run: Run, job: Job, extractor: Extractor) -> None:
    with pytest.raises(InputError, match="stopped by"):
        run(job, extractor, stop=StopAfter(1))
    (job.images.root / "3.png").rename(job.images.root / "30.png")
    now = replace(job, images=list_folder_images(job.images.root))
    with pytest.raises(InputError, match=r"1 missing \(3\.png\); 1 new \(30\.png\)"):
        run(now, extractor)
    features, _ = run(now, extractor, overwrite=True)
    assert features.is_complete
    assert "30.png" in features.file_name


def test_a_second_process_is_refused(run: Run, job: Job, extractor: Extractor) -> None:
    with locked(job.out), pytest.raises(InputError, match="another process is writing it"):
        run(job, extractor)
    run(job, extractor)


def test_too_little_disk_is_said_before_anything_is_written(
    run: Run, job: Job, extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 10**6})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(InputError, match=r"needs [\d.]+ MB, its disk has 1 MB free"):
        run(job, extractor)
    assert not job.out.exists()


def test_a_disk_that_fills_up_is_a_clear_stop(
    run: Run, job: Job, extractor: Extractor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = contents(run(replace(job, out=tmp_path / "whole.h5"), extractor)[0])
    real, calls = os.pwrite, []

    def fail_later(descriptor: int, data: Any, offset: int) -> int:
        calls.append(len(data))
        if len(calls) == 8:  # a short write first, as full disks do
            return real(descriptor, data[: len(data) // 2], offset)
        if len(calls) > 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data, offset)

    monkeypatch.setattr("os.pwrite", fail_later)
    with pytest.raises(InputError, match=r"No space left.*goes on where it stopped"):
        run(job, extractor)
    monkeypatch.setattr("os.pwrite", real)
    assert_same(run(job, extractor)[0], expected)


def test_leftovers_of_a_killed_start_are_cleared(run: Run, job: Job, extractor: Extractor) -> None:
    job.out.parent.mkdir()
    leftover = job.out.parent / f".{job.out.name}.123.tmp"
    leftover.write_bytes(b"half")
    other = job.out.parent / ".other.h5.123.tmp"
    other.write_bytes(b"another file's")
    run(job, extractor)
    assert not leftover.exists()
    run(replace(job, out=job.out.parent / "*.h5"), extractor)
    assert other.exists()


def test_a_file_of_other_images_of_the_same_names_and_lengths_is_not_gone_on_with(
    run: Run, job: Job, extractor: Extractor
) -> None:
    run(job, extractor)
    picture = job.images.path(3)
    data = bytearray(picture.read_bytes())
    data[-20] ^= 1
    picture.write_bytes(data)
    with pytest.raises(InputError, match=r"1 images changed or were removed .*3\.png\); --repair"):
        run(job, extractor)

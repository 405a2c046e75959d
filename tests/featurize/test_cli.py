import json
import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from frostgrid.console import StopRequest
from frostgrid.datasets.images import picture_formats
from frostgrid.featurize.cli import featurize
from frostgrid.featurize.file.reader import open_features
from frostgrid.featurize.file.writer import RowWriter
from frostgrid.featurize.run import default_workers
from PIL import Image

SMALL = ["--weights", "w.pth", "--image-size", "32", "--layer", "layer3", "--batch-size", "4"]
Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights_file: Path) -> Call:
    """Types a command in a folder that holds ``my photos/`` with seven images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pth").symlink_to(weights_file)
    for name in ("FROSTGRID_WEIGHTS", "FROSTGRID_DATA", "FROSTGRID_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "my photos" / "nested é").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(7):
        folder = tmp_path / "my photos" / ("nested é" if i % 2 else ".")
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return lambda *words: CliRunner().invoke(featurize, [str(word) for word in words])


def assert_fails(result: Result, exit_code: int, *parts: str) -> None:
    assert result.exit_code == exit_code, result.output
    for part in parts:
        assert part in result.stderr
    assert "Traceback" not in result.output


def test_a_folder_of_images(call: Call) -> None:
    result = call("my photos", *SMALL)
    assert result.exit_code == 0, result.output
    out = Path("features/my photos-resnet18.h5")
    assert "weights w.pth" in result.stdout
    assert "resnet18 (default)" in result.stdout
    assert f"my photos: 7 images, 729 kB -> {out}" in result.stdout
    assert f"finished: 7 images in {out}" in result.stdout
    features = open_features(out)
    assert features.file_name[:2] == ["0.png", "2.png"]
    assert "nested é/5.png" in features.file_name
    assert features.image_id.tolist() == [0, 2, 4, 6, 1, 3, 5]
    again = call("my photos", *SMALL)
    assert again.exit_code == 0
    assert "7 done before" in again.stdout
    assert "was finished already" in again.stdout


def test_every_split_of_the_default_data(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROSTGRID_WEIGHTS", "w.pth")
    result = call(*SMALL[2:], "--limit", 3)
    assert result.exit_code == 0, result.output
    assert "images easy-vqa (default)" in result.stdout
    for split in ("train", "val"):
        features = open_features(Path(f"features/easy-vqa-{split}-resnet18.h5"))
        assert features.provenance["data"] == "easy-vqa"
        assert features.provenance["split"] == split
        assert features.image_id.tolist() == [0, 1, 2]
    assert call("--split", "test", *SMALL[2:], "--limit", 3).exit_code == 0


def test_images_at_their_own_shape(call: Call) -> None:
    words = [word for word in SMALL if word not in ("--image-size", "32")]
    result = call("my photos", *words, "--crop", "native")
    assert result.exit_code == 0, result.output
    assert "layer3 at 640 pixels, native" in result.stdout
    features = open_features(Path("features/my photos-resnet18.h5"))
    assert features.provenance["crop"] == "native"
    assert features.provenance["image_size"] == 640
    assert features.grid.shape == (7, 196, 256)
    assert_fails(call("my photos", *words), 1, "--image-size 640, now asked for 448")


def test_the_decoder_is_the_files_or_the_devices(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = "features/my photos-resnet18.h5"
    asked = "--decode gpu, which cannot be had here: the network runs on no CUDA device"
    assert_fails(call("my photos", *SMALL, "--decode", "gpu"), 1, asked)

    def let_gpu_decode(reason: str) -> None:
        monkeypatch.setattr(
            "frostgrid.featurize.decode.choice.why_unavailable", lambda device: reason
        )

    let_gpu_decode("")  # nvJPEG is there
    assert_fails(call("my photos", *SMALL, "--decode", "gpu", "--draft"), 1, "--draft is Pillow's")
    result = call("my photos", *SMALL, "--limit", "3", "--out", out)
    assert result.exit_code == 0, result.output
    assert "decoding threads and nvJPEG" in result.stdout
    assert "decoded by nvJPEG: 0 of 3 images" in result.stdout  # which are PNGs
    assert open_features(Path(out)).identity()["decode"] == "gpu"
    let_gpu_decode("no driver")
    result = call("my photos", *SMALL, "--limit", "3", "--out", out)
    assert "was finished already" in result.stdout
    with RowWriter(Path(out)) as writer:
        writer.write("status", np.array([1]), np.array([0], np.uint8))
    unfinished = call("my photos", *SMALL, "--limit", "3", "--out", out)
    assert_fails(unfinished, 1, "was made with --decode gpu, which cannot be had here: no driver")
    assert_fails(
        call("my photos", *SMALL, "--limit", "3", "--out", out, "--decode", "cpu"),
        1,
        "--decode gpu, now asked for cpu",
    )
    let_gpu_decode("")
    assert (
        call("my photos", *SMALL, "--limit", "3", "--out", "b.h5", "--decode", "cpu").exit_code == 0
    )
    result = call("my photos", *SMALL, "--limit", "3", "--out", "b.h5")  # as it was made
    assert "was finished already" in result.stdout


def test_one_file_cannot_hold_two_splits(call: Call) -> None:
    result = call(*SMALL, "--out", "a.h5")
    assert_fails(result, 2, "--out names one file", "--split")


@pytest.mark.parametrize(
    ("words", "exit_code", "message"),
    [
        (["nowhere", *SMALL], 1, "nowhere: no such folder"),
        (["--data", "nowhere", *SMALL], 1, "'nowhere' is neither"),
        (["my photos", "--weights", "nowhere.pth"], 1, "nowhere.pth: no such file"),
        (["my photos", *SMALL, "--backbone", "vgg16"], 2, "'resnet18', 'resnet34'"),
        (["my photos", *SMALL, "--image-size", "8"], 2, "--image-size"),
        (["my photos", *SMALL, "--shard", "3/2"], 2, "'3/2' is not a shard"),
        (["my photos", *SMALL, "--shard", "x"], 2, "'x' is not a shard"),
        (["my photos", *SMALL, "--out", "my photos/0.png/f.h5"], 1, "0.png is not a folder"),
        (["my photos", *SMALL, "--split", "val"], 2, "and --split is about a data set"),
        (["my photos", *SMALL, "--data", "my photos"], 2, "and --data is about a data set"),
        (["my photos", *SMALL, "--shard", "1/9"], 1, "the shard 1/9 of 7 images is empty"),
        (
            ["my photos", "--repair", "--overwrite"],
            2,
            "--repair and --overwrite cannot be combined",
        ),
        (["my photos", *SMALL, "--repair"], 1, "nothing to repair"),
        (
            ["my photos", "--crop", "native", "--grid", "native"],
            2,
            "cannot be combined with --crop",
        ),
        (["--verify", "--out", "nowhere.h5"], 1, "nowhere.h5: no such file"),
    ],
)
def test_messages(call: Call, words: list[str], exit_code: int, message: str) -> None:
    assert_fails(call(*words), exit_code, message)


def test_damaged_images_stop_or_are_listed(call: Call, tmp_path: Path) -> None:
    (tmp_path / "my photos" / "8.jpg").write_bytes(b"")
    (tmp_path / "my photos" / "9.jpg").write_text("hello")
    assert_fails(call("my photos", *SMALL), 1, "8.jpg: is empty", "--on-error skip")
    result = call("my photos", *SMALL, "--on-error", "skip")
    assert result.exit_code == 0
    assert "2 failed" in result.stdout
    assert "9.jpg: is not an image in a known format" in result.stdout
    assert "finished: 7 images" in result.stdout


def test_bombs_are_refused(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 599)
    assert_fails(call("my photos", *SMALL), 1, "0.png: has more than 599 pixels")


def test_verify_tells_damage_and_repair_mends_it(call: Call) -> None:
    call("my photos", *SMALL)
    out = "features/my photos-resnet18.h5"
    Path("photo.h5").write_bytes(Path("my photos/0.png").read_bytes())
    assert_fails(call("--verify", "--out", "photo.h5"), 1, "is an image (PNG)")
    sound = call("--verify", "--out", out)
    assert sound.exit_code == 0
    assert "7 rows read" in sound.stdout
    grid = np.array(open_features(Path(out)).grid)
    with h5py.File(out, "r+") as file:
        file["grid"][3, 100, 7] += 1
    result = call("my photos", "--verify")
    assert_fails(result, 1, "not sound", "--repair")
    assert "damaged: row 3, image 6, 6.png" in result.stdout
    assert call("my photos", *SMALL, "--repair").exit_code == 0
    assert np.array_equal(open_features(Path(out)).grid, grid)
    assert call("my photos", "--verify").exit_code == 0


def test_a_file_made_otherwise_is_refused(call: Call) -> None:
    call("my photos", *SMALL)
    other = [*SMALL[2:], "--weights", "random", "--seed", 1]
    assert_fails(call("my photos", *other), 1, "was made with weights", "--overwrite")
    result = call("my photos", *other, "--overwrite")
    assert result.exit_code == 0
    assert "weights random(seed=1, calibrated-1)" in result.stdout


def test_a_stopped_run_says_how_to_go_on(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = StopRequest()
    stop.signal_name = "SIGTERM"
    monkeypatch.setattr("frostgrid.featurize.run.stop_on_signal", lambda: nullcontext(stop))
    message = "stopped by SIGTERM after 0 more images; all of them are kept. Run the same command"
    assert_fails(call("my photos", *SMALL), 1, message)


def test_dry_run_writes_nothing(call: Call, tmp_path: Path) -> None:
    result = call("my photos", *SMALL, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "7 images would take about" in result.stdout
    assert "707 kB of disk" in result.stdout
    assert not (tmp_path / "features").exists()


def test_shards_are_parts_of_the_list(call: Call) -> None:
    names = []
    for i in (1, 2, 3):
        assert call("my photos", *SMALL, "--shard", f"{i}/3").exit_code == 0
        part = open_features(Path(f"features/my photos-resnet18-{i}of3.h5"))
        assert part.provenance["shard"] == f"{i}of3"
        names += part.file_name
    assert names == [f"{i}.png" for i in (0, 2, 4, 6)] + [f"nested é/{i}.png" for i in (1, 3, 5)]


def test_what_is_no_regular_file_is_listed(call: Call, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "my photos" / "8.jpg").symlink_to(tmp_path / "pipe")
    assert_fails(call("my photos", *SMALL), 1, "8.jpg: is not a regular file", "--on-error skip")
    result = call("my photos", *SMALL, "--on-error", "skip")
    assert "finished: 7 images" in result.stdout
    assert "1 failed" in result.stdout


def test_repair_of_an_image_that_became_a_pipe(call: Call, tmp_path: Path) -> None:
    call("my photos", *SMALL)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "my photos" / "2.png").unlink()
    (tmp_path / "my photos" / "2.png").symlink_to(tmp_path / "pipe")
    assert_fails(call("my photos", *SMALL), 1, "1 images changed or were removed", "2.png")
    result = call("my photos", *SMALL, "--repair")
    assert "2.png: is not a regular file" in result.stdout


@pytest.fixture
def no_heif(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if pillow-heif were not installed."""
    formats = tuple(name for name in picture_formats.readable_formats() if name != "HEIF")
    monkeypatch.setattr(picture_formats, "readable_formats", lambda: formats)
    cached = (picture_formats.image_suffixes, picture_formats.other_suffixes)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


@pytest.mark.usefixtures("no_heif")
def test_pictures_that_are_left_out_are_counted(call: Call, tmp_path: Path) -> None:
    for name in ("a1.HEIC", "nested é/a2.heic", "a.svg", "b.psd", "notes.txt", ".hidden.svg"):
        (tmp_path / "my photos" / name).write_bytes(b"x")
    result = call("my photos", *SMALL)
    assert "my photos: left out: " in result.stdout
    assert "2 .heic (pip install pillow-heif to have them read)" in result.stdout
    assert "1 .psd, 1 .svg (convert them to PNG or JPEG)" in result.stdout
    assert "finished: 7 images" in result.stdout
    (tmp_path / "drawings").mkdir()
    (tmp_path / "drawings" / "a.svg").write_text("<svg/>")
    assert_fails(call("drawings", *SMALL), 1, "no images found", "left out: 1 .svg (convert")


def test_processes_of_one_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert default_workers() == 8
    for n_processes, expected in (("1", 8), ("3", 2), ("8", 1), ("16", 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", n_processes)
        assert default_workers() == expected


def test_pictures_left_out_of_a_data_set_are_counted(call: Call, tmp_path: Path) -> None:
    images = tmp_path / "set" / "images"
    images.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(images / "1.png")
    (images / "2.svg").write_text("<svg/>")
    (tmp_path / "set" / "logo.svg").write_text("<svg/>")  # not among the images
    captions = {
        "images": [{"id": 1, "file_name": "1.png"}],
        "annotations": [{"id": 1, "image_id": 1, "caption": "a cat"}],
    }
    (tmp_path / "set" / "train_captions.json").write_text(json.dumps(captions))
    result = call("--data", "set", *SMALL)
    assert result.exit_code == 0, result.output
    assert "set, train: left out: 1 .svg (convert them to PNG or JPEG)" in result.stdout

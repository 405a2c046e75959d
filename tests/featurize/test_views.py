"""Mirrored images: a second file beside the plain one, and never in its place."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from frostgrid.datasets.images.image_list import list_folder_images
from frostgrid.errors import InputError
from frostgrid.featurize.cli import featurize
from frostgrid.featurize.extract import Extractor
from frostgrid.featurize.file.cli import convert, info, join
from frostgrid.featurize.file.join import join_files
from frostgrid.featurize.file.layout import MIRRORED, PLAIN
from frostgrid.featurize.file.reader import FeatureFile, open_features
from frostgrid.featurize.file.writer import RowWriter
from frostgrid.featurize.jobs import Job
from PIL import Image
from reference.feature_files import write_file

Call = Callable[..., Result]
Run = Callable[..., tuple[FeatureFile, int]]


@pytest.mark.parametrize("crop", ["squash", "center", "pad", "native"])
def test_the_features_are_those_of_images_that_were_mirrored(
    crop: str, run: Run, job: Job, extractor: Extractor, tmp_path: Path
) -> None:
    """By Pillow, before they are decoded: resizing is symmetric but for its rounding."""
    turned = tmp_path / "turned"
    turned.mkdir()
    for name in job.images.file_names:
        with Image.open(job.images.root / name) as image:
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(turned / name)
    how = replace(extractor, preprocessing=replace(extractor.preprocessing, crop=crop))
    plain, _ = run(job, how)
    mirrored, _ = run(replace(job, out=tmp_path / "m.h5", view=MIRRORED), how.showing(MIRRORED))
    images = replace(job, images=list_folder_images(turned), out=tmp_path / "t.h5")
    expected, _ = run(images, how)
    assert mirrored.file_name == plain.file_name
    assert mirrored.source_crc32.tolist() == plain.source_crc32.tolist()
    far = np.abs(np.float32(plain.grid) - expected.grid).max()
    near = np.abs(np.float32(mirrored.grid) - expected.grid).max()
    assert near < 0.05 * far
    assert "; mirrored left to right; /255" in mirrored.provenance["preprocessing"]
    assert (plain.provenance["view"], mirrored.provenance["view"]) == (PLAIN, MIRRORED)


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights_file: Path) -> Call:
    """Types a command on a folder ``photos`` of five images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FROSTGRID_DEVICE", raising=False)
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for i in range(5):
        pixels = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{i}.png")
    how = ["photos", "--weights", weights_file, "--image-size", 32, "--layer", "layer3"]
    how += ["--batch-size", 2, "--amp", "off"]
    return lambda *words: CliRunner().invoke(featurize, [str(word) for word in (*how, *words)])


def reopen(path: Path, row: int) -> None:
    """As a process leaves a row that is killed before it is written."""
    with RowWriter(path) as writer:
        writer.write("status", np.array([row]), np.zeros(1, np.uint8))


def test_a_second_file_is_made_gone_on_with_verified_and_repaired(call: Call) -> None:
    forecast = call("--views", 2, "--dry-run")
    assert "photos, mirrored: 5 images would take" in forecast.stdout
    plain, mirrored = (
        Path("features/photos-resnet18.h5"),
        Path("features/photos-resnet18-mirrored.h5"),
    )
    assert call().exit_code == 0
    assert not mirrored.exists()
    before = plain.read_bytes()
    made = call("--views", 2)
    assert made.exit_code == 0, made.output
    assert "photos: 5 images, 5 done before" in made.stdout
    assert f"  finished: 5 images in {mirrored}" in made.stdout
    assert plain.read_bytes() == before
    whole = mirrored.read_bytes()
    reopen(mirrored, 3)
    assert "4 done before" in call("--views", 2).stdout
    assert mirrored.read_bytes() == whole
    data = bytearray(whole)
    data[len(data) // 2] ^= 1  # in a row of the grid
    mirrored.write_bytes(data)
    verified = call("--views", 2, "--out", plain, "--verify")
    assert verified.exit_code == 1
    assert f"{plain}: 5 rows read" in verified.stdout
    assert f"{mirrored}: 5 rows read" in verified.stdout
    assert "1 damaged" in verified.stdout
    assert call("--views", 2, "--out", plain, "--repair").exit_code == 0
    assert mirrored.read_bytes() == whole


def test_shards_are_joined_and_converted_each_view_by_itself(call: Call) -> None:
    for i in (1, 2):
        assert call("--views", 2, "--shard", f"{i}/2", "--out", f"{i}.h5").exit_code == 0
    mixed = CliRunner().invoke(join, ["all.h5", "1.h5", "2-mirrored.h5"])
    assert mixed.exit_code == 1
    assert "2-mirrored.h5: differs from 1.h5: view mirrored, not plain" in mixed.stderr
    joined = CliRunner().invoke(join, ["all-mirrored.h5", "2-mirrored.h5", "1-mirrored.h5"])
    assert joined.exit_code == 0, joined.output
    copied = CliRunner().invoke(convert, ["all-mirrored.h5", "copy.h5", "--dtype", "float32"])
    assert copied.exit_code == 0, copied.output
    assert open_features("copy.h5").identity()["view"] == MIRRORED
    assert "mirrored" in CliRunner().invoke(info, ["copy.h5"]).stdout


def test_either_view_is_kept_out_of_the_others_file(call: Call) -> None:
    assert call("--views", 2, "--out", "f.h5").exit_code == 0
    mirrored = Path("f-mirrored.h5").read_bytes()
    for mode in ([], ["--repair"]):
        refused = call("--out", "f-mirrored.h5", *mode)
        assert refused.exit_code == 1
        assert "f-mirrored.h5: holds mirrored images, and this command" in refused.stderr
        assert "--out f.h5, and add --views 2." in refused.stderr
    assert Path("f-mirrored.h5").read_bytes() == mirrored
    Path("f.h5").rename("f-mirrored.h5")
    refused = call("--views", 2, "--out", "f.h5")
    assert refused.exit_code == 1
    assert (
        "f-mirrored.h5: holds plain images, and this command would put mirrored" in refused.stderr
    )


def test_without_a_split_the_training_images_alone_are_mirrored(
    tiny_set: tuple[Path, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    how = ["--weights", "random", "--image-size", "32", "--layer", "layer3"]
    data = ["--data", str(tiny_set[0]), "--backbone", "resnet18"]
    result = CliRunner().invoke(featurize, [*data, *how, "--views", "2"])
    assert result.exit_code == 0, result.output
    names = sorted(path.name.partition("-")[2] for path in Path("features").glob("*.h5"))
    assert names == ["train-resnet18-mirrored.h5", "train-resnet18.h5", "val-resnet18.h5"]
    (tmp_path / "set").mkdir()
    for kind in ("questions", "annotations", "captions"):
        (tmp_path / "set" / f"val_{kind}.json").write_bytes(
            (tiny_set[0] / f"val_{kind}.json").read_bytes()
        )
    (tmp_path / "set" / "images").symlink_to(tiny_set[0] / "images")
    refused = CliRunner().invoke(featurize, ["--data", "set", "--views", "2"])
    assert refused.exit_code == 2
    assert "of the split train, and set has none, but val; name the split by --split" in (
        refused.stderr
    )


def test_a_file_that_does_not_say_holds_plain_images(tmp_path: Path) -> None:
    write_file(tmp_path / "old.h5", 3)
    file = open_features(tmp_path / "old.h5")
    assert "view" not in file.provenance
    assert file.identity()["view"] == PLAIN
    write_file(tmp_path / "new.h5", 3, view=MIRRORED)
    with pytest.raises(InputError, match=r"differs from .*: view mirrored, not plain"):
        join_files([tmp_path / "old.h5", tmp_path / "new.h5"], tmp_path / "all.h5")

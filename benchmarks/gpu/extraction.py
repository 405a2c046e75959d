"""Extraction: decoding, the network and the writing alone, and the whole."""

import os
import statistics
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from frostgrid.featurize.backbones import load_backbone
from frostgrid.featurize.cli import featurize
from frostgrid.featurize.network import build_network, choose_precision
from frostgrid.process import keep_freed_memory
from PIL import Image

from .record import Bench

SIDE, BATCH = 448, 64


def run(bench: Bench) -> None:
    """All parts; on a CPU of a few photos."""
    keep_freed_memory()
    n = 2048 if bench.is_gpu else 8
    photos = bench.work / "photos"
    photos.mkdir(exist_ok=True)
    with ProcessPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        list(pool.map(partial(make_photo, photos), range(n), chunksize=8))
    files = sorted(photos.iterdir())
    with bench.attempt("decoding alone"):
        decoding(bench, files)
    for name in ("resnet18", "resnet101") if bench.is_gpu else ("resnet18",):
        with bench.attempt(f"{name} alone"):
            network(bench, name)
        with bench.attempt(f"{name}, whole"):
            whole(bench, name, photos, n)


def make_photo(folder: Path, number: int) -> None:
    """A noisy JPEG of 640 x 480 pixels."""
    rng = np.random.default_rng(number)
    small = Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8))
    smooth = np.asarray(small.resize((640, 480), Image.Resampling.BICUBIC)).astype(int)
    noisy = (smooth + rng.integers(-10, 11, smooth.shape)).clip(0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(folder / f"{number}.jpg", quality=90)


def decoding(bench: Bench, files: list[Path]) -> None:
    """Pillow in threads, and nvJPEG with its resize."""

    def pillow(path: Path) -> None:
        with Image.open(path) as image:
            np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))

    n_threads = min(16, os.cpu_count() or 1)
    with ThreadPoolExecutor(n_threads) as pool:
        seconds = time_call(bench, lambda: list(pool.map(pillow, files)), 1)
    bench.say(f"decoding by Pillow, {n_threads} threads", f"{len(files) / seconds:,.0f} images/s")
    if not bench.is_gpu:
        return
    from torchvision.io import decode_jpeg
    from torchvision.transforms.v2.functional import resize

    data = [torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.uint8) for file in files]

    def on_gpu() -> None:
        for first in range(0, len(data), BATCH):
            decoded = decode_jpeg(data[first : first + BATCH], device=bench.device)
            resize(torch.stack(decoded), [SIDE, SIDE], antialias=True)

    seconds = time_call(bench, on_gpu, 3)
    bench.say("decoding by nvJPEG, resized on the GPU", f"{len(data) / seconds:,.0f} images/s")


def network(bench: Bench, name: str) -> None:
    """The network on pixels that are there, and one thread's checks, checksums and copies."""
    backbone = load_backbone(name, "layer4", "random", 0)
    built = build_network(
        backbone, bench.device, choose_precision(bench.device, "auto"), torch.float16
    )
    n = BATCH if bench.is_gpu else 2
    pixels = torch.randint(0, 256, (n, SIDE, SIDE, 3), dtype=torch.uint8, device=bench.device)
    with torch.inference_mode():
        grid, _ = built(pixels)
        seconds = time_call(bench, lambda: built(pixels), 20 if bench.is_gpu else 1)
    bench.say(f"{name}: the network alone", f"{n / seconds:,.0f} images/s")
    cells = grid.cpu().numpy()
    target = np.empty_like(cells)

    def write() -> None:
        np.isfinite(cells).all()
        for row in cells:
            zlib.crc32(row.data)
        target[...] = cells

    seconds = time_call(bench, write, 3)
    bench.say(f"{name}: checks and a copy, one thread", f"{n / seconds:,.0f} images/s")


def whole(bench: Bench, name: str, photos: Path, n: int) -> None:
    """The command, from the files to the feature file, as decoders can be chosen."""
    known = {option for parameter in featurize.params for option in parameter.opts}
    ways = ("cpu", "gpu") if "--decode" in known and bench.is_gpu else ("",)
    for way in ways:
        out = bench.work / f"{name}{way}.h5"
        words = [str(photos), "--backbone", name, "--weights", "random", "--out", str(out)]
        words += ["--device", bench.device.type, *(["--decode", way] if way else [])]
        # The first run chooses and compiles what the second finds.
        seconds = 0.0
        for _ in range(2 if bench.is_gpu else 1):
            start = time.perf_counter()
            featurize.main([*words, "--overwrite"], standalone_mode=False)
            seconds = time.perf_counter() - start
        out.unlink(missing_ok=True)
        what = f"{name}: featurize, whole{', decoding on the ' + way if way else ''}"
        bench.say(what, f"{n / seconds:,.0f} images/s with building the network ({seconds:.1f} s)")


def time_call(bench: Bench, call: Callable[[], object], times: int) -> float:
    """Seconds of a call, the median of three rounds."""
    call()
    seconds = []
    for _ in range(3):
        bench.wait()
        start = time.perf_counter()
        for _ in range(times):
            call()
        bench.wait()
        seconds.append((time.perf_counter() - start) / times)
    return statistics.median(seconds)

"""One call of ``featurize``: what it does, in order, and what it says."""

import os
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from ..console import StopRequest, say_bytes, stop_on_signal
from ..devices import pick_device
from ..distributed import Ranks, join_ranks
from ..errors import InputError
from ..process import keep_freed_memory
from .backbones import load_backbone, native_grid
from .estimate import estimate
from .extract import Extractor, Watch
from .file.layout import FAILED, GRID, name_grid
from .file.reader import FeatureFile, open_features
from .file.verify import verify
from .fill import count_to_do, fill, locked, prepare
from .images import Preprocessing
from .jobs import Job
from .network import build_network, choose_precision
from .options import Options
from .plan import plan

Say = Callable[[str], object]

LISTED = 20


def run(options: Options, say: Say) -> None:
    """Extract, estimate or verify, whichever is asked for.

    Raises ``InputError`` if a file could not be finished or is not sound.
    """
    if options.verify:
        outs = [options.out] if options.out else [job.out for job in plan(options.wanted())]
        verify_files(outs, say)
        return
    remedy = "what was done is kept. Run the same command again to go on."
    with warnings.catch_warnings(), join_ranks(remedy) as ranks:
        # What Pillow only warns of is refused as well: memory stays bounded.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        speak = say if ranks.is_first else (lambda text: None)
        jobs = plan(options.wanted())
        extractor = make_extractor(options, ranks)
        speak(headline(options, extractor))
        keep_freed_memory()
        with stop_on_signal() as stop:
            for job in jobs:
                if options.dry_run:
                    speak(forecast(job, extractor))
                else:
                    run_job(job, extractor, options, ranks, stop, speak)


def make_extractor(options: Options, ranks: Ranks) -> Extractor:
    """The network and all its settings, as the options say."""
    device = pick_device(options.device, ranks.local_rank)
    precision = choose_precision(device, options.amp)
    backbone = load_backbone(options.backbone, options.layer, options.weights, options.seed)
    output = torch.float16 if options.dtype == "float16" else torch.float32
    shape = native_grid(options.layer, options.image_size) if options.is_native else GRID
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Extractor(
        backbone=backbone,
        network=build_network(backbone, device, precision, output, shape),
        preprocessing=Preprocessing(options.image_size, options.crop, options.draft),
        dtype=options.dtype,
        batch_size=options.batch_size or (16 if device.type == "cpu" else 64),
        workers=options.workers or n_cores or 1,
        # A repair starts from a file whose failures are listed, and must not end in less.
        skip_errors=options.on_error == "skip" or options.repair,
    )


def headline(options: Options, extractor: Extractor) -> str:
    """The first lines: what was picked, and which of it nobody asked for."""
    where = options.image_dir or options.data

    def mark(name: str) -> str:
        return " (default)" if name in options.defaults else ""

    data = "" if options.image_dir else mark("data")
    grid = f" {name_grid(extractor.network.shape)}" if options.is_native else ""
    return (
        f"images {where}{data}; backbone {extractor.backbone.name}{mark('backbone')}, "
        f"{options.layer} at {options.image_size} pixels, {options.crop}; weights "
        f"{extractor.backbone.weights}{mark('weights')}\n"
        f"{extractor.network.describe()}{mark('device')}, batches of {extractor.batch_size}, "
        f"{extractor.workers} decoding threads, {extractor.dtype} cells{grid}"
    )


def forecast(job: Job, extractor: Extractor) -> str:
    """What ``--dry-run`` says of a job."""
    expected = estimate(job, extractor)
    n_images, rate = len(job.images), expected.images_per_second
    rest = ""
    if job.out.exists():
        n_images = count_to_do(open_features(job.out).status)
        rest = " that are left"
    return (
        f"{job}: {n_images} images{rest} would take about {say_duration(n_images / rate)} at "
        f"{rate:.1f} images/s, and {say_bytes(expected.n_bytes)} of disk for {job.out}"
    )


def say_duration(exact_seconds: float) -> str:
    """Hours, minutes and seconds, as far as they matter."""
    seconds = round(exact_seconds)
    if seconds < 60:
        return f"{max(seconds, 1)} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def run_job(
    job: Job, extractor: Extractor, options: Options, ranks: Ranks, stop: StopRequest, say: Say
) -> None:
    """Fill one feature file, with all ranks."""
    with locked(job.out) if ranks.is_first else nullcontext():
        hidden = not (options.repair and ranks.is_first)
        with tqdm(total=len(job.images), unit="img", desc="checking", disable=hidden) as bar:
            ranks.first_does(
                lambda: prepare(job, extractor, options.overwrite, options.repair, bar.update)
            )
        file = open_features(job.out)
        n_to_do = count_to_do(file.status)
        n_before = file.n_images - n_to_do
        size = say_bytes(job.out.stat().st_size)
        gone_before = f", {n_before} done before" if n_before else ""
        say(f"{job}: {file.n_images} images{gone_before}, {size} -> {job.out}")
        ranks.wait_for_all()  # nobody writes before everybody has read the status
        if n_to_do:
            fill_with_bar(job, extractor, file, ranks, stop)
        ranks.wait_for_all()
        if ranks.is_first:
            say(closing_words(open_features(job.out), n_to_do))


def fill_with_bar(
    job: Job, extractor: Extractor, file: FeatureFile, ranks: Ranks, stop: StopRequest
) -> None:
    """Fill the file under a progress bar; raises ``InputError`` if the user stopped it."""
    n_mine = count_to_do(file.status)
    with tqdm(total=n_mine, unit="img", disable=not ranks.is_first, smoothing=0.05) as bar:
        # Batches go round the ranks, so the first one's progress is that of all.
        watch = Watch(
            lambda: bool(stop), lambda n: bar.update(min(n * ranks.share.of, n_mine - bar.n))
        )
        outcome = fill(job, extractor, file, watch, ranks.share)
    if outcome.stopped:
        raise InputError(
            f"{job.out}: stopped by {stop.signal_name} after {outcome.n_done} more images; all of "
            "them are kept. Run the same command again to go on."
        )


def closing_words(file: FeatureFile, n_to_do: int) -> str:
    """What the file holds at the end, and which images failed."""
    failed = np.flatnonzero(file.status == FAILED)
    state = "finished" if n_to_do else "was finished already"
    lines = [f"  {state}: {file.n_images - len(failed)} images in {file.path}"]
    if len(failed):
        lines[0] += f"; {len(failed)} failed (--repair tries them again):"
        lines += [f"    {file.file_name[row]}: {file.reason(int(row))}" for row in failed[:LISTED]]
        if len(failed) > LISTED:
            lines.append(f"    … and {len(failed) - LISTED} more: frostgrid info {file.path}")
    return "\n".join(lines)


def verify_files(paths: list[Path], say: Say) -> None:
    """Verify each file; raises ``InputError`` at the end if one of them is not sound."""
    unsound = []
    for file in [part for path in paths for part in open_features(path).parts]:
        path, begun = file.path, time.perf_counter()
        with tqdm(total=int(file.n_images - count_to_do(file.status)), unit="img") as bar:
            verdict = verify(file, bar.update)
        seconds = time.perf_counter() - begun
        say(
            f"{path}: {verdict.n_done} rows read in {seconds:.1f} s: "
            f"{len(verdict.damaged)} damaged, {len(verdict.failed)} failed images, "
            f"{len(verdict.to_do)} to do"
        )
        for row in verdict.damaged[:LISTED]:
            say(f"    damaged: row {row}, image {file.image_id[row]}, {file.file_name[row]}")
        if not verdict.is_sound:
            unsound.append(path)
    if unsound:
        raise InputError(
            f"{', '.join(map(str, unsound))}: not sound; run featurize with --repair to redo "
            "damaged rows, or without to finish the rest."
        )

"""One call of ``featurize``: its steps in order, and what it prints."""

import os
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..console import StopRequest, progress_bar, say_bytes, say_duration, stop_on_signal
from ..datasets.catalog import open_dataset
from ..datasets.images.image_list import count_other_pictures
from ..datasets.images.picture_formats import explain_left_out
from ..devices import pick_device, use_exact_float32
from ..distributed import Ranks, join_ranks
from ..errors import InputError
from ..process import keep_freed_memory
from .backbones import load_backbone
from .decode.choice import choose_decoder
from .estimate import estimate
from .extract import Extractor, Progress, count_to_do, extract
from .file.layout import FAILED, GRID, PLAIN, name_grid
from .file.reader import FeatureFile, open_features
from .file.verify import verify
from .file.views import mirrored_path
from .images import Preprocessing
from .jobs import FeaturizeOptions, Job, plan
from .network import build_network, choose_precision
from .prepare import locked, prepare

Say = Callable[[str], object]

LISTED = 20  # damaged rows or failed images


def run(options: FeaturizeOptions, say: Say) -> list[Path]:
    """Extract, estimate or verify, whichever is asked for; returns the feature files.

    Raises ``InputError`` if a file could not be finished or is not sound.
    """
    if options.verify:
        outs = files_to_verify(options)
        verify_files(outs, say)
        return outs
    remedy = "what was done is kept. Run the same command again to go on."
    with warnings.catch_warnings(), join_ranks(remedy) as ranks:
        # Images that Pillow only warns of are refused too, so that memory stays bounded.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        speak = say if ranks.is_first else (lambda text: None)
        jobs = plan(options)
        extractor = make_extractor(options, jobs, ranks)
        speak(headline(options, extractor))
        if options.image_dir is None:
            for note in open_dataset(options.data).notes():
                speak(f"{options.data}: {note}")
        keep_freed_memory()
        with stop_on_signal() as stop:
            for job in jobs:
                each = extractor.showing(job.view)
                for note in notes_on(job) if ranks.is_first else []:
                    say(f"{job}: {note}")
                if options.dry_run:
                    speak(forecast(job, each))
                else:
                    run_job(job, each, options, ranks, stop, speak)
    return [job.out for job in jobs]


def files_to_verify(options: FeaturizeOptions) -> list[Path]:
    """The files of ``--verify``; of one that is named, the images need not be there."""
    if options.out is None:
        return [job.out for job in plan(options)]
    return [options.out] if options.views == 1 else [options.out, mirrored_path(options.out)]


def make_extractor(options: FeaturizeOptions, jobs: list[Job], ranks: Ranks) -> Extractor:
    """The network and its settings, from the options."""
    device = pick_device(options.device, ranks.local_rank)
    if options.amp == "off":
        use_exact_float32()
    precision = choose_precision(device, options.amp)
    decode = choose_decoder(options, jobs, device)
    backbone = load_backbone(
        options.backbone,
        options.layer,
        options.weights,
        options.seed,
        options.image_size,
        options.crop == "native",
    )
    if options.dtype == "uint8" and not backbone.is_resnet:
        raise InputError(
            f"--dtype uint8 is for features that are never negative, and those of {backbone.name} "
            "may be; use float16."
        )
    side = options.side(backbone.image_size)
    output = torch.float16 if options.dtype == "float16" else torch.float32
    shape = backbone.native_grid(side) if options.is_native else GRID
    return Extractor(
        backbone=backbone,
        network=build_network(backbone, device, precision, output, shape),
        preprocessing=Preprocessing(side, options.crop, options.draft, decode),
        dtype=options.dtype,
        batch_size=options.batch_size or (16 if device.type == "cpu" else 64),
        workers=options.workers or default_workers(),
        # A repair starts from a file with failed images, and must not stop at them.
        skip_errors=options.on_error == "skip" or options.repair,
    )


def default_workers() -> int:
    """One decoding thread per core, shared with the other processes of this machine."""
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (n_cores or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def headline(options: FeaturizeOptions, extractor: Extractor) -> str:
    """The first lines: what is used, and which of it by default."""
    where = options.image_dir or options.data

    def mark(name: str) -> str:
        return " (default)" if name in options.defaults else ""

    data = "" if options.image_dir else mark("data")
    grid = f" {name_grid(extractor.network.shape)}" if options.is_native else ""
    gpu = " and nvJPEG" if extractor.preprocessing.decode == "gpu" else ""
    return (
        f"images {where}{data}; backbone {extractor.backbone.name}{mark('backbone')}, "
        f"{options.layer} at {extractor.preprocessing.image_size} pixels, {options.crop}; weights "
        f"{extractor.backbone.weights}{mark('weights')}\n"
        f"{extractor.network.describe()}{mark('device')}, batches of {extractor.batch_size}, "
        f"{extractor.workers} decoding threads{gpu}, {extractor.dtype} cells{grid}"
    )


def notes_on(job: Job) -> list[str]:
    """What to say of the job's images, and of the pictures in their folders that are not read.

    Nothing of the mirrored ones, which are the same.
    """
    if job.view != PLAIN:
        return []
    if job.split:
        folders = {name.partition("/")[0] for name in job.images.file_names if "/" in name}
    else:
        folders = {""}  # a plain folder, all of it
    counts: Counter[str] = Counter()
    for folder in folders:
        counts += count_other_pictures(job.images.root, folder)
    return [*job.images.notes, *([explain_left_out(counts)] if counts else [])]


def forecast(job: Job, extractor: Extractor) -> str:
    """What ``--dry-run`` prints for a job."""
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


def run_job(
    job: Job,
    extractor: Extractor,
    options: FeaturizeOptions,
    ranks: Ranks,
    stop: StopRequest,
    say: Say,
) -> None:
    """Fill one feature file, with all ranks; raises ``InputError`` if the user stopped it."""
    with locked(job.out) if ranks.is_first else nullcontext():
        shown = options.repair and ranks.is_first
        with progress_bar(len(job.images), shown, desc="checking") as bar:
            ranks.first_does(
                lambda: prepare(job, extractor, options.overwrite, options.repair, bar.update)
            )
        file = open_features(job.out)
        n_to_do = count_to_do(file.status)
        n_before = file.n_images - n_to_do
        size = say_bytes(job.out.stat().st_size)
        done_before = f", {n_before} done before" if n_before else ""
        say(f"{job}: {file.n_images} images{done_before}, {size} -> {job.out}")
        ranks.wait_for_all()  # nobody writes before everybody has read the status
        if n_to_do:
            with progress_bar(n_to_do, ranks.is_first, smoothing=0.05) as bar:
                line = ProgressLine(bar, ranks.share.of)
                extract(extractor, job, file.status, stop, line, ranks.share)
            if extractor.preprocessing.decode == "gpu":
                say(
                    f"  decoded by nvJPEG: {line.n_by_gpu} of {n_to_do} images; by Pillow: the rest"
                )
        ranks.wait_for_all()
        if ranks.is_first:
            say(closing_words(open_features(job.out), n_to_do))


class ProgressLine:
    """Moves a bar on; batches go to the ranks in turn, so the first one's stands for all."""

    def __init__(self, bar: Any, n_ranks: int) -> None:
        self.bar = bar
        self.n_ranks = n_ranks
        self.n_by_gpu = 0

    def __call__(self, progress: Progress) -> None:
        """After each batch."""
        limit = "the disk is the limit" if progress.waits_for_disk else ""
        self.bar.set_postfix_str(limit, refresh=False)
        self.bar.update(min(progress.n_images * self.n_ranks, self.bar.total - self.bar.n))
        self.n_by_gpu = min(self.n_by_gpu + progress.n_by_gpu * self.n_ranks, self.bar.total)


def closing_words(file: FeatureFile, n_to_do: int) -> str:
    """The last lines: what the file holds, and which images failed."""
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
        with progress_bar(int(file.n_images - count_to_do(file.status))) as bar:
            verdict = verify(file, bar.update)
        seconds = time.perf_counter() - begun
        say(
            f"{path}: {verdict.n_done} rows read in {seconds:.1f} s: "
            f"{len(verdict.damaged)} damaged, {len(verdict.failed)} failed images, "
            f"{len(verdict.to_do)} to do"
        )
        if file.missing_checks:
            say(f"    note: {file.missing_checks}")
        for row in verdict.damaged[:LISTED]:
            say(f"    damaged: row {row}, image {file.image_id[row]}, {file.file_name[row]}")
        if not verdict.is_sound:
            unsound.append(path)
    if unsound:
        raise InputError(
            f"{', '.join(map(str, unsound))}: not sound; run featurize with --repair to redo "
            "damaged rows, or without to finish the rest."
        )

"""Faults done to ``featurize`` on purpose, at random moments, many times; and what came of each.

``python -m benchmarks.faults [--tries 20] [--seed 0]`` prints a table. Every fault ends in a run
that finishes the file, whose every row must equal, to the last bit, that of a run which nothing
disturbed.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from frostgrid.featurize.file.reader import open_features
from frostgrid.featurize.file.verify import verify

from .fault_bench import N_IMAGES, Bench


def kill(bench: Bench) -> bool:
    for _ in range(3):
        bench.kill()
    return bench.finish() == 0 and bench.is_whole()


def terminate(bench: Bench) -> bool:
    process = bench.start()
    bench.wait(process.is_alive)
    process.terminate()
    process.join()
    said = process.exitcode != 1 or "Run the same command again" in bench.said()
    return said and bench.finish() == 0 and bench.is_whole()


def second_process(bench: Bench) -> bool:
    first = bench.start()
    bench.wait(first.is_alive)
    second = bench.finish(log="second")
    raced = not first.is_alive()
    first.join()
    refused = second == 1 and "another process is writing it" in bench.said("second")
    return (refused or raced) and first.exitcode == 0 and bench.is_whole()


def full_disk(bench: Bench) -> bool:
    limit = bench.draw.randrange(10_000, (bench.folder / "whole.h5").stat().st_size)
    stopped = bench.finish(file_limit=limit) == 1 and "goes on where it stopped" in bench.said()
    return stopped and bench.finish() == 0 and bench.is_whole()


def truncate(bench: Bench) -> bool:
    bench.finish()
    os.truncate(bench.out, bench.draw.randrange(bench.out.stat().st_size - 1))
    refused = bench.finish() == 1 and "--overwrite" in bench.said() and "f.h5" in bench.said()
    return refused and bench.finish("--overwrite") == 0 and bench.is_whole()


def flip_bits(bench: Bench) -> bool:
    bench.finish()
    features = open_features(bench.out)
    rows = sorted(bench.draw.sample(range(N_IMAGES), 3))
    with bench.out.open("r+b") as file:
        for row in rows:
            column = features.grid if bench.draw.random() < 0.7 else features.pooled
            row_bytes = column[0].nbytes
            place = column.offset + row * row_bytes + bench.draw.randrange(row_bytes)
            file.seek(place)
            byte = file.read(1)[0] ^ (1 << bench.draw.randrange(8))
            file.seek(place)
            file.write(bytes([byte]))
    found = verify(open_features(bench.out), lambda n: None).damaged == rows
    verified = bench.finish("--verify") == 1
    return found and verified and bench.finish("--repair") == 0 and bench.is_whole()


def flip_structure(bench: Bench) -> bool:
    bench.finish()
    columns = open_features(bench.out).structure.columns
    filled = [c for name, c in columns.items() if name != "image_id" and c.offset is not None]
    at, size = filled[0].offset, bench.out.stat().st_size
    while any(c.offset <= at < c.offset + c.n_bytes for c in filled):
        at = bench.draw.randrange(size)
    with bench.out.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0] ^ (1 << bench.draw.randrange(8))
        file.seek(at)
        file.write(bytes([byte]))
    if bench.finish("--verify") == 0:  # padding, which nothing reads
        return bench.is_whole()
    refused = "--overwrite" in bench.said()
    return refused and bench.finish("--overwrite") == 0 and bench.is_whole()


def replace_image(bench: Bench) -> bool:
    bench.finish()
    i = bench.draw.randrange(N_IMAGES)
    path = bench.photos / f"{i}.jpg"
    before = path.read_bytes()
    bench.make_photo(i, seed=10**6 + i)
    same_length = path.stat().st_size == len(before)
    refused = bench.finish() == 1 and f"{i}.jpg" in bench.said() and "--repair" in bench.said()
    repaired = bench.finish("--repair") == 0
    row = open_features(bench.out).rows(np.array([i]))[0]
    other = not np.array_equal(open_features(bench.out).grid[row], bench.expected.grid[row])
    path.write_bytes(before)
    redone = (refused or same_length) and repaired and other
    return redone and bench.finish("--repair") == 0 and bench.is_whole()


def delete_image(bench: Bench) -> bool:
    bench.kill()
    i = bench.draw.randrange(N_IMAGES)
    path = bench.photos / f"{i}.jpg"
    before = path.read_bytes()
    path.unlink()
    existed = bench.out.exists()
    refused = not existed or (bench.finish() == 1 and f"1 missing ({i}.jpg)" in bench.said())
    path.write_bytes(before)
    return refused and bench.finish() == 0 and bench.is_whole()


def damage_image(bench: Bench) -> bool:
    i = bench.draw.randrange(N_IMAGES)
    path = bench.photos / f"{i}.jpg"
    before = path.read_bytes()
    path.write_bytes(before[: bench.draw.randrange(len(before) - 2)])
    stopped = bench.finish() == 1 and f"{i}.jpg" in bench.said()
    skipped = bench.finish("--on-error", "skip") == 0 and f"{i}.jpg: " in bench.said()
    path.write_bytes(before)
    return stopped and skipped and bench.finish("--repair") == 0 and bench.is_whole()


def kill_rank(bench: Bench) -> bool:
    launcher = bench.start_ranks()
    bench.wait(lambda: launcher.poll() is None)
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children")
    if launcher.poll() is None and (ranks := children.read_text().split()):
        os.kill(int(bench.draw.choice(ranks)), 9)
    launcher.communicate()
    return bench.finish() == 0 and bench.is_whole()


FAULTS: dict[str, tuple[Callable[[Bench], bool], str]] = {
    "kill -9, three times": (kill, "resumed, equal to the last bit"),
    "SIGTERM": (terminate, "stopped cleanly, resumed, equal"),
    "two processes on one file": (second_process, "the second refused, the first finished"),
    "no room for the file": (full_disk, "said so, went on when there was room, equal"),
    "file cut off": (truncate, "refused, redone with --overwrite, equal"),
    "bits flipped in three rows": (flip_bits, "found by --verify, mended by --repair, equal"),
    "bit flipped outside the rows": (flip_structure, "refused, or nobody reads it"),
    "image replaced": (replace_image, "refused by name, redone by --repair"),
    "image deleted": (delete_image, "refused by name, resumed when it was back, equal"),
    "image cut off": (damage_image, "stopped or listed by name, mended by --repair, equal"),
    "one of two ranks killed": (kill_rank, "resumed, equal to the last bit"),
}


@click.command()
@click.option("--tries", default=20, help="How often each fault is done.")
@click.option("--seed", default=0)
@click.option("--only", help="Faults whose name holds this text.")
def main(tries: int, seed: int, only: str | None) -> None:
    """Do every fault so many times; exit 1 if one did not end as it should."""
    torch.set_num_threads(1)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), seed)
        print("| fault | tried | as it should | outcome |\n|---|---|---|---|")
        for name, (fault, outcome) in FAULTS.items():
            if only and only not in name:
                continue
            good = 0
            for _ in range(tries):
                if fault(bench):
                    good += 1
                else:
                    click.echo(f"{name}: {bench.said()}", err=True)
                    bench.out.unlink(missing_ok=True)
            wrong += tries - good
            print(f"| {name} | {tries} | {good} | {outcome} |", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

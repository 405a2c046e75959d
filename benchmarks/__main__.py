"""A short run of every benchmark, one after the other: ``make bench``.

Each is a program of its own, ``python -m benchmarks.NAME --help``, with a longer run by default.
"""

import subprocess
import sys
import time

SHORT: dict[str, list[str]] = {
    "gather": [],
    "attention": ["--rounds", "5", "--no-compile"],
    "losses": ["--rounds", "10"],
    "heads": ["--rounds", "2"],
    "dot_attention": ["--rounds", "3"],
    "training": ["--rounds", "3", "--fraction", "0.005"],
    "regression": ["HEAD", "--head", "mean-embed", "--rounds", "4"],
    "accuracy": ["--images", "300", "--val-images", "150", "--epochs", "2", "--seeds", "1"],
    "vqa2_scale": ["--fraction", "0.02"],
    "streaming": ["--fraction", "0.05", "--limit-gb", "1.8"],
    "beam": ["--rounds", "2"],
    "extraction": [],
    "faults": ["--tries", "1"],
    "score_faults": ["--tries", "1"],
    "train_faults": ["--tries", "1"],
    "gpu": ["--device", "cpu"],
    "sizes": ["--seeds", "0"],
    "score_vqa": ["--questions", "50000", "--images", "10000", "--rounds", "3"],
    "score_captions": ["--images", "5000", "--rounds", "2"],
    "fuzz_score": ["--cases", "1000"],
}


def main() -> None:
    """Run them all; a failure does not keep the others from running, but is told at the end."""
    failed = []
    for name, options in SHORT.items():
        print(f"\n# {name} {' '.join(options)}\n", flush=True)
        start = time.monotonic()
        command = [sys.executable, "-m", f"benchmarks.{name}", *options]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
        print(f"\n({time.monotonic() - start:.0f} s)", flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()

"""The commands on existing feature files: ``info``, ``join`` and ``convert``."""

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from tqdm import tqdm

from ...console import Command
from ...options import choice_option
from ..choices import DTYPES
from .convert import LAYOUTS, convert_file
from .join import join_files
from .layout import DONE, FAILED, TO_DO
from .reader import open_features, open_hdf5, read_provenance

PATH = click.Path(path_type=Path, dir_okay=False)


@click.command(cls=Command)
@click.argument("file", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def info(file: Path, as_json: bool) -> None:
    """Print the attributes and sizes of a feature FILE, and which images failed."""
    facts = gather_facts(file)
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    failed = facts.pop("failed_images")
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(
            f"{name:{width}}  {value if not isinstance(value, dict) else join_entries(value)}"
        )
    for name, reason in failed.items():
        click.echo(f"{'failed':{width}}  {name}: {reason}")


def gather_facts(path: Path) -> dict[str, Any]:
    """The file's attributes, sizes and progress, ready for JSON."""
    with open_hdf5(path) as file:
        facts = read_provenance(file)
        is_archive = file["grid"].chunks is not None
        columns = {n: f"{d.dtype} {list(d.shape)}" for n, d in file.items()}
        status = file["status"][:]
        names = [name.decode() for name in file["file_name"][:]]
        reasons = file["error"][:]
    if not is_archive:
        features = open_features(path)  # raises if it is cut off or a column is missing
        status = features.status
        reasons = [features.error[row] for row in range(features.n_images)]
    for name in ("versions", "parts"):
        if name in facts:
            facts[name] = json.loads(str(facts[name]))
    facts["datasets"] = columns
    facts["layout"] = "archive" if is_archive else "joined" if "parts" in facts else "plain"
    facts["bytes"] = path.stat().st_size
    facts |= {"images": len(status), "done": int((status == DONE).sum())}
    facts |= {"to_do": int((status == TO_DO).sum()), "failed": int((status == FAILED).sum())}
    facts["failed_images"] = {
        names[row]: bytes(reasons[row]).decode(errors="replace")
        for row in np.flatnonzero(status == FAILED)
    }
    return facts


def join_entries(values: dict[str, object]) -> str:
    """The entries on one line."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


@click.command(cls=Command)
@click.argument("out", type=PATH)
@click.argument("files", type=PATH, nargs=-1, required=True)
def join(out: Path, files: tuple[Path, ...]) -> None:
    """Make OUT refer to all images of several feature FILES, which stay where they are.

    OUT is an HDF5 file of virtual datasets. Files of one --shard set are put in shard order.
    """
    joined = join_files(list(files), out)
    click.echo(f"{out}: {joined.n_images} images in {len(joined.parts)} files")


@click.command(cls=Command)
@click.argument("file", type=PATH)
@click.argument("out", type=PATH)
@click.option(
    "--dtype", type=click.Choice(DTYPES), help="How the grid is stored.  [default: unchanged]"
)
@choice_option(
    "--layout",
    values=LAYOUTS,
    help="plain: to train from. archive: compressed, to store or send.",
)
def convert(file: Path, out: Path, dtype: str | None, layout: str) -> None:
    """Write the features of FILE to OUT in another dtype or layout; joined files become one."""
    with open_hdf5(file) as source, tqdm(total=source["grid"].shape[0], unit="img") as bar:
        before = source["grid"].nbytes
        convert_file(file, out, dtype, layout, bar.update)
    after = out.stat().st_size
    click.echo(f"{out}: {after:,} bytes, {after / max(before, 1):.1%} of {file}'s grid")

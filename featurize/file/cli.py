"""The commands on existing feature files: ``info``, ``join`` and ``convert``.

h5py and NumPy take most of a second to import, and --help needs none of it.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from ...console import Command, progress_bar
from ...options import choice_option
from ...parameters import FEATURE_FILE, OneOf, OutputFile
from ..choices import DTYPES, LAYOUTS

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
    import numpy as np

    from .layout import DONE, FAILED, TO_DO
    from .opening import read_structure
    from .reader import FeatureFile
    from .rows import read_rows

    structure = read_structure(path)
    facts = dict(structure.attributes)
    if structure.layout == "archive":
        rows = read_rows(path, structure)
        lacks = "" if structure.fixed_crc32 is not None else "made without checksums of all bytes"
    else:
        features = FeatureFile(path, structure)
        rows, lacks = features.columns, features.missing_checks
    status = rows["status"]
    for name in ("versions", "parts", "origins"):
        with suppress(KeyError, ValueError):  # an old file's may be damaged
            facts[name] = json.loads(str(facts[name]))
    columns = structure.columns.items()
    facts["datasets"] = {n: f"{np.dtype(c.dtype)} {list(c.shape)}" for n, c in columns}
    facts["datasets"]["file_name"] = f"object [{len(status)}]"
    facts["layout"] = structure.layout
    facts["checks"] = lacks or "all bytes are covered by checksums"
    facts["bytes"] = path.stat().st_size
    facts |= {"images": len(status), "done": int((status == DONE).sum())}
    facts |= {"to_do": int((status == TO_DO).sum()), "failed": int((status == FAILED).sum())}
    facts["damaged"] = int(rows["damaged"].sum())
    facts["to_do"] -= facts["damaged"]
    facts["failed_images"] = {
        structure.file_name[row]: bytes(rows["error"][row]).rstrip(b"\0").decode(errors="replace")
        for row in np.flatnonzero(status == FAILED)
    }
    return facts


def join_entries(values: dict[str, object]) -> str:
    """The entries on one line."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


@click.command(cls=Command)
@click.argument("out", type=OutputFile(*FEATURE_FILE))
@click.argument("files", type=PATH, nargs=-1, required=True)
def join(out: Path, files: tuple[Path, ...]) -> None:
    """Make OUT refer to all images of several feature FILES, which stay where they are.

    OUT is an HDF5 file of virtual datasets. Files of one --shard set are put in shard order.
    """
    from .join import join_files

    joined = join_files(list(files), out)
    click.echo(f"{out}: {joined.n_images} images in {len(joined.parts)} files")


@click.command(cls=Command)
@click.argument("file", type=PATH)
@click.argument("out", type=OutputFile(*FEATURE_FILE))
@click.option("--dtype", type=OneOf(DTYPES), help="How the grid is stored.  [default: unchanged]")
@choice_option(
    "--layout",
    values=LAYOUTS,
    help="plain: to train from. archive: compressed, to store or send.",
)
def convert(file: Path, out: Path, dtype: str | None, layout: str) -> None:
    """Write the features of FILE to OUT in another dtype or layout; joined files become one."""
    from .convert import convert_file
    from .opening import read_structure

    grid = read_structure(file).columns["grid"]
    with progress_bar(grid.shape[0]) as bar:
        convert_file(file, out, dtype, layout, bar.update)
    after = out.stat().st_size
    click.echo(f"{out}: {after:,} bytes, {after / max(grid.n_bytes, 1):.1%} of {file}'s grid")

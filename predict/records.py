"""Predictions as files: the official JSON, JSON lines or CSV with more columns, attention maps."""

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..atomic import atomic_write, write_bytes

Record = dict[str, Any]  # an item's ids, file name, question and prediction, in this order
OFFICIAL = {"vqa": ("question_id", "answer"), "caption": ("image_id", "caption")}
AttentionGrid = NDArray[np.float16]  # [H, W] of an answer, [T, H, W] of a caption's words


def write_records(path: Path, records: Sequence[Record], task: str, form: str) -> None:
    """Write records as ``json`` (official), ``jsonl`` or ``csv``; the file appears whole."""
    if form == "json":
        keys = OFFICIAL[task]
        text = json.dumps([{key: record[key] for key in keys} for record in records])
    elif form == "jsonl":
        text = "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records)
    else:
        out = io.StringIO()
        writer = csv.DictWriter(out, list(records[0]) if records else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        text = out.getvalue()
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_attention(path: Path, maps: Iterable[tuple[int, AttentionGrid]]) -> None:
    """Write each item's attention under its id, as ``numpy.load`` reads it: ``file["17"]``."""
    with atomic_write(path) as part, zipfile.ZipFile(part, "w") as archive:
        for item, grid in maps:
            with archive.open(f"{item}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, grid, allow_pickle=False)

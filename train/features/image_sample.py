"""Some image files of a data set, compared with what a feature file's rows were made from."""

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...featurize.file.reader import FeatureFile

N_SIZES = 32  # image files whose sizes are compared
N_CHECKSUMS = 4  # and of these, those that are read
LARGEST_READ = 2**24  # bytes


def compare_images(file: FeatureFile, rows: NDArray[np.int64], root: Path, advice: str) -> bool:
    """Compare evenly spaced rows with their image files, as far as these lie in ``root``.

    Returns whether there were any. Raises ``InputError``, with the advice, for a file of another
    content.
    """
    sample = rows[:: max(1, len(rows) // N_SIZES)].tolist()
    read = set(sample[:: max(1, len(sample) // N_CHECKSUMS)])
    n_compared = 0
    for row in sample:
        n_bytes, name = int(file.source_bytes[row]), file.file_name[row]
        if not n_bytes or not name:
            continue
        path = root / name
        try:
            n_found = path.stat().st_size
            is_same = n_found == n_bytes
            if is_same and row in read and n_bytes <= LARGEST_READ:
                is_same = zlib.crc32(path.read_bytes()) == int(file.source_crc32[row])
        except OSError:  # not there: features may outlive the images
            continue
        n_compared += 1
        if not is_same:
            raise InputError(
                f"{path}: is not the image that row {row} of {file.path} was made from "
                f"({n_found:,} bytes here, {n_bytes:,} there, other content); {advice} (with "
                "--repair, if that file is complete), or, if the images were only saved anew, add "
                "--trust-ids."
            )
    return n_compared > 0

"""Where Numba keeps the caption kernels that it compiled, from one run to the next."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

from ..datasets.cache_folder import cache_folder

ENVIRONMENT = "NUMBA_CACHE_DIR"


def choose_numba_cache() -> Path | None:
    """Give Numba a folder that can be written; None if it has its own already.

    Left alone, it writes beside the source, which an installed package may not allow, and fails if
    the home folder is closed as well. To be called before Numba is imported; what the user has set
    stays.
    """
    if "numba" in sys.modules or os.environ.get(ENVIRONMENT):
        return None
    folder = cache_folder() / "numba"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:  # compiled anew by every run, but it runs
        folder = Path(tempfile.mkdtemp(prefix="frostgrid-numba-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[ENVIRONMENT] = str(folder)
    return folder


def holds_kernels(folder: Path) -> bool:
    """Whether caption kernels were compiled into that folder before."""
    return any(folder.glob("**/ngram_kernels.*.nbi"))

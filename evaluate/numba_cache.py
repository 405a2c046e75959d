"""Where Numba keeps the caption kernels that it compiled, from one run to the next.

Numba's cache files are pickles: whoever can write them can have code run by whoever reads them. So
the folder must belong to the user, and to nobody else.
"""

import atexit
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..datasets.cache_folder import cache_folder

ENVIRONMENT = "NUMBA_CACHE_DIR"


def choose_numba_cache(announce: Callable[[str], None]) -> Path | None:
    """Give Numba a private folder that can be written; None if it has its own already.

    Left alone, it writes beside the source, which an installed package may not allow, and fails if
    the home folder is closed as well. Must be called before Numba is imported; what the user has
    set stays. A folder that others could write is not used, and ``announce`` receives the reason.
    """
    if "numba" in sys.modules or os.environ.get(ENVIRONMENT):
        return None
    folder = cache_folder() / "numba"
    try:
        reason = make_private(folder)
        if not reason:
            with tempfile.TemporaryFile(dir=folder):
                pass
    except OSError:  # compiled anew by every run, but it runs
        reason = None
        folder = temporary_folder()
    if reason:
        announce(
            f"{reason}, who could make this program run their code: the caption kernels are "
            f"compiled for this run alone. Remove {folder} and close the folder above it (chmod "
            "go-w), or set FROSTGRID_CACHE to a folder of your own."
        )
        folder = temporary_folder()
    os.environ[ENVIRONMENT] = str(folder)
    return folder


def make_private(folder: Path) -> str | None:
    """Create the folder for the user alone; or say why others can change what it holds."""
    folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    if not hasattr(os, "getuid"):  # Windows: what the user's folders hold is the user's
        return None
    folder = folder.resolve()
    # Who can write the folder above can put another in this one's stead, unless it is sticky.
    for path, owners in ((folder, (os.getuid(),)), (folder.parent, (os.getuid(), 0))):
        status = path.stat()
        if status.st_uid not in owners:
            return f"{path} belongs to another user (number {status.st_uid})"
        sticky = path != folder and status.st_mode & stat.S_ISVTX
        if status.st_mode & 0o022 and not sticky:
            return f"{path} can be written by others (mode {stat.S_IMODE(status.st_mode):o})"
    folder.chmod(0o700)
    return None


def temporary_folder() -> Path:
    """A private folder that goes with the process."""
    folder = Path(tempfile.mkdtemp(prefix="frostgrid-numba-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def holds_kernels(folder: Path) -> bool:
    """Whether caption kernels were compiled into that folder before."""
    return any(folder.glob("**/ngram_kernels.*.nbi"))

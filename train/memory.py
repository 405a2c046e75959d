"""How much memory there is for files to stay in, and how much a process has taken."""

import sys
from pathlib import Path

import psutil
import torch

_CGROUPS = Path("/sys/fs/cgroup")
_STATUS = Path("/proc/self/status")


def available_bytes() -> int:
    """Memory that is free or could be, within the limits of the control groups we are in."""
    return min([int(psutil.virtual_memory().available), *cgroup_limits(Path("/proc/self/cgroup"))])


def cgroup_limits(membership: Path, root: Path = _CGROUPS) -> list[int]:
    """The memory limits in bytes of our control groups and those around them, versions 1 and 2.

    ``membership``: lines of ``id:controllers:path``. The page cache counts against these limits,
    and containers and batch systems set them.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    limits = []
    for line in lines:
        _, controllers, inside = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top = root / controllers
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        group = top / inside.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(top):
                break
            try:
                limits.append(int((folder / name).read_text()))
            except (OSError, ValueError):  # not there, or "max"
                continue
    return limits


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory taken so far: on the GPU if there is one, else resident in the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # Linux's ru_maxrss begins at what the process that started this one held.
    try:
        lines = _STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        if sys.platform == "win32":
            return int(psutil.Process().memory_info().peak_wset)
        import resource  # which Windows lacks

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024

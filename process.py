"""What a process asks of the libraries below PyTorch: of OpenMP, of oneDNN and of malloc."""

import ctypes
import os
import sys

# Idle OpenMP threads spin for milliseconds, on cores that decoding and the attention's own threads
# could have; but where they sleep at once, every small operation waits until they wake.
_SPINS = 2_000

# Batches have many shapes; oneDNN keeps 1,024 compiled products, up to half a megabyte each.
_ONEDNN_PRODUCTS = 512

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4

# Pillow allocates images in blocks of 16 MiB.
_MAPPED_BYTES = 4 << 20


def set_environment() -> None:
    """Set what libraries read when they are loaded: call it before PyTorch is imported.

    What the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(_SPINS))
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(_ONEDNN_PRODUCTS))


def keep_freed_memory() -> None:
    """Keep large blocks that are freed for the next batch, instead of giving them back.

    glibc maps every block of 32 MB or more anew, and gives back the top of its heap; the system
    then hands out zeroed pages one by one, which takes longer than many an operation on them. Does
    nothing where the C library is another.
    """
    library = glibc()
    if library is None:
        return
    library.malloc_trim(0)  # what loading and preparing left
    library.mallopt(_M_MMAP_MAX, 0)
    library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def return_freed_memory() -> None:
    """Give large blocks back to the system as soon as they are freed.

    By default glibc keeps blocks of up to 32 MB in a heap for each thread: a server that decodes
    large images in many threads grows by an image for each. Does nothing where the C library is
    another.
    """
    library = glibc()
    if library is not None:
        library.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)


def glibc() -> ctypes.CDLL | None:
    """The C library, if it is glibc."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None

import os
import subprocess
import sys

import pytest
from frostgrid.process import set_environment

NAMES = ("GOMP_SPINCOUNT", "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "OMP_WAIT_POLICY")


@pytest.fixture
def environment(monkeypatch):
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that what is set here is undone
        monkeypatch.delenv(name)
    return monkeypatch


def test_sets_what_the_user_has_not(environment):
    environment.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "7")
    set_environment()
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "7"
    assert int(os.environ["GOMP_SPINCOUNT"]) > 0


def test_leaves_threads_to_a_policy_of_the_user(environment):
    environment.setenv("OMP_WAIT_POLICY", "active")
    set_environment()
    assert "GOMP_SPINCOUNT" not in os.environ


@pytest.mark.parametrize(
    ("command", "argument"), [("train-head", "san"), ("featurize", "/nowhere")]
)
def test_commands_set_it_before_torch_is_imported(command, argument, environment, tmp_path):
    """In a process of its own, with an import of torch that says what it finds."""
    script = f"""
import os, sys
from importlib.metadata import entry_points

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print("torch after", os.environ.get("GOMP_SPINCOUNT"), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Watch())
sys.argv = [{command!r}, {argument!r}]
(entry,) = entry_points(group="console_scripts", name={command!r})
entry.load()()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.startswith("torch after 2000"), done.stderr


FAULTS = """
import ctypes, resource, sys
from frostgrid.process import keep_freed_memory

def faults():
    size, n = 64 << 20, resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        block = library.malloc(size)
        ctypes.memset(block, 1, size)
        library.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - n

library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
print(faults())
keep_freed_memory()
faults()
print(faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_freed_blocks_are_used_again():
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    )
    before, after = map(int, done.stdout.split())
    if before < 100:
        pytest.skip("this C library keeps freed blocks already")
    assert after < before / 20


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_a_server_gives_the_memory_of_large_images_back():
    """Images decoded by threads, one at a time, as `serve` does."""
    script = """
import threading, psutil
from PIL import Image
from frostgrid.process import return_freed_memory

return_freed_memory()

def decode():
    image = Image.new("RGBA", (4000, 4000))
    image = Image.alpha_composite(image, image.copy()).convert("RGB")

before = psutil.Process().memory_info().rss
for _ in range(8):
    thread = threading.Thread(target=decode)
    thread.start()
    thread.join()
print((psutil.Process().memory_info().rss - before) / 1e6)
"""
    command = [sys.executable, "-c", script]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert float(out) < 64

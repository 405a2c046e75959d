import subprocess
import sys

CODE = """
import sys
from frostgrid.datasets import annotations, captions, catalog, questions
print(sorted({"torch", "nltk", "PIL", "numba", "easy_vqa"} & set(sys.modules)))
"""


def test_reading_data_waits_for_no_heavy_import():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

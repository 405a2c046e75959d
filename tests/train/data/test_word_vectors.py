import json

import numpy as np
import pytest
from frostgrid.errors import InputError
from frostgrid.train.data.word_vectors import read_vectors, read_width
from safetensors.numpy import save_file

GLOVE = "the 0.5 -1 2e-1\n. . . 9 9 9\ncat 1 2 3\nthe 7 7 7\n1 4 5 6\n"


@pytest.mark.parametrize("header", ["", "5 3\n"])
def test_the_text_format(tmp_path, header):
    file = tmp_path / "glove.txt"
    file.write_text(header + GLOVE)
    assert read_width(file) == 3
    found = read_vectors(file, ["cat", "the", "dog", ". . .", "1"])
    assert {word: vector.tolist() for word, vector in found.items()} == {
        "the": [0.5, -1, pytest.approx(0.2)],
        ". . .": [9, 9, 9],
        "cat": [1, 2, 3],
        "1": [4, 5, 6],
    }
    assert found["cat"].dtype == np.float32


def test_safetensors(tmp_path):
    file = tmp_path / "vectors.safetensors"
    vectors = np.arange(6, dtype=np.float16).reshape(2, 3)
    save_file({"vectors": vectors}, file, {"words": json.dumps(["cat", "dog"])})
    assert read_width(file) == 3
    assert read_vectors(file, ["dog"])["dog"].tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        ("word\n", "line 1 is no word with numbers"),
        ("a 1 2\ncat 1\n", "line 2 holds 1 numbers, or infinite ones, and the first 2"),
        ("a 1 2\ncat 1 2 3\n", "line 2 holds 3 numbers"),
        ("a 1 2\ncat 1 nan\n", "line 2 holds 2 numbers, or infinite"),
        ("a 1 2\ncat 1 x\n", "line 2: could not convert"),
    ],
)
def test_what_is_no_file_of_vectors_is_told(tmp_path, text, message):
    file = tmp_path / "vectors.txt"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_width(file), read_vectors(file, ["cat"])


def test_other_safetensors_are_told(tmp_path):
    file = tmp_path / "vectors.safetensors"
    for tensors, metadata in [
        ({"vectors": np.zeros((2, 3))}, {"words": '["one"]'}),
        ({"vectors": np.zeros(3)}, {"words": '["a", "b", "c"]'}),
        ({"other": np.zeros((1, 3))}, {"words": '["a"]'}),
        ({"vectors": np.zeros((1, 3))}, {}),
    ]:
        save_file(tensors, file, metadata)
        with pytest.raises(InputError, match="no word vectors"):
            read_width(file)
    file.write_bytes(b"junk")
    with pytest.raises(InputError, match="no word vectors"):
        read_width(file)
    with pytest.raises(InputError, match="cannot be read"):
        read_width(tmp_path / "missing.txt")

import gzip
import json

import pytest
from frostgrid.datasets.formats import (
    Annotations,
    CaptionResult,
    Captions,
    Karpathy,
    Questions,
    VqaResult,
    decode,
    read_bytes,
)
from frostgrid.errors import InputError
from hypothesis import given
from hypothesis import strategies as st

ENTRY = {"question_id": 1, "image_id": 2, "question": "What?"}
TEXT = json.dumps({"questions": [ENTRY, ENTRY]}).encode()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("formats") / "file.json"


@pytest.mark.parametrize("data", [TEXT, b"\xef\xbb\xbf" + TEXT, gzip.compress(TEXT, mtime=0)])
def test_plain_marked_and_packed_files_are_the_same(path, data):
    path.write_bytes(data)
    assert read_bytes(path) == TEXT
    assert [question.question for question in decode(path, Questions).questions] == ["What?"] * 2


MESSAGES = [
    (b"", "not valid JSON at line 1, column 1"),
    (TEXT[:-9], "not valid JSON at line 1, column .* cut short"),
    (
        b"[1, 2]",
        "holds a list of values such as 1, which does not fit here; the layouts .* VQA que",
    ),
    (TEXT.replace(b"2", b"null"), r"questions\[0\].image_id: expected .*, got `null`"),
    (TEXT.replace(b"question_id", b"id"), r"questions\[0\]: object missing .*`question_id`"),
    (TEXT.replace(b"1", b"1e400"), r"questions\[0\].question_id: number out of range"),
    (TEXT.replace(b"1", b"1" * 5000), r"questions\[0\].question_id: integer value out of range"),
    (TEXT.replace(b"1", b"NaN"), "holds NaN, Infinity or half of a surrogate pair"),
    (TEXT.replace(b"What", b"\\ud800"), "holds NaN, Infinity or half of a surrogate pair"),
    (TEXT.replace(b"What", b"\xff"), r"byte \d+ is not UTF-8 text"),
    (TEXT.replace(b"question_id", b"\xe9tat"), r"byte \d+ is not UTF-8 text"),
    (TEXT.decode().encode("utf-16"), "UTF-16 text; save the file as UTF-8"),
    (b"PK\x03\x04\x14" + TEXT, "a zip archive; unpack it"),
    (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
    (gzip.compress(TEXT, mtime=0)[:-10], "damaged or incomplete gzip file"),
    (gzip.compress(TEXT, mtime=0)[:20] + b"!" * 30, "damaged or incomplete gzip file"),
]


@pytest.mark.parametrize(("data", "message"), MESSAGES)
def test_the_message_names_file_and_place(path, data, message):
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"file.json: .*{message}"):
        decode(path, Questions)


KINDS = [Questions, Annotations, Captions, Karpathy, list[VqaResult], list[CaptionResult]]
WORDS = "questions annotations images question_id image_id question answers answer answer_id"
KEYS = st.sampled_from([*WORDS.split(), "caption", "id", "sentences", "raw", "filename", "split"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def refusal(path, kind):
    """The message with which a file is refused, or None if it is decoded."""
    try:
        decode(path, kind)
    except InputError as error:
        return str(error)


@given(VALUES, st.sampled_from(KINDS), st.integers(0, 60), st.binary(max_size=4))
def test_anything_is_decoded_or_refused_in_a_sentence(path, value, kind, position, junk):
    data = json.dumps(value).encode()
    path.write_bytes(data[:position] + junk + data[position:])
    message = refusal(path, kind)
    assert message is None or (message.startswith(f"{path}: ") and "\n" not in message)


@given(st.binary(max_size=60), st.sampled_from(KINDS))
def test_any_bytes_are_decoded_or_refused(path, data, kind):
    path.write_bytes(data)
    message = refusal(path, kind)
    assert message is None or message.startswith(f"{path}: ")

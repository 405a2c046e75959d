import json

import msgspec
import pytest
from frostgrid.evaluate.vqa import json_pieces
from frostgrid.evaluate.vqa.json_pieces import IrregularFile, decode_range, decode_tail, open_list
from hypothesis import given
from hypothesis import strategies as st


class Record(msgspec.Struct):
    id: int
    text: str = ""


def read_list(path, key):
    source = open_list(path.read_bytes(), key)
    pieces = list(decode_range(source, source.first, source.stop, Record))
    return [record for piece in [*pieces, decode_tail(source, Record)] for record in piece]


@pytest.fixture(autouse=True)
def tiny_pieces(monkeypatch):
    monkeypatch.setattr(json_pieces, "PIECE_BYTES", 8)
    monkeypatch.setattr(json_pieces, "TAIL_BYTES", 16)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("pieces") / "list.json"


# Strings that look like cuts, ends of lists and keys.
TEXTS = st.lists(
    st.sampled_from(['}, {"id":', "}", "{", "]", "[", ",", '"', "\\", '"list": [', " ", "é", "\n"]),
    max_size=5,
).map("".join)
RECORDS = st.lists(
    st.fixed_dictionaries(
        {"id": st.integers(-9, 9)},
        optional={
            "text": TEXTS,
            "nested": st.lists(st.fixed_dictionaries({"id": st.integers(), "text": TEXTS})),
        },
    ),
    min_size=1,
    max_size=8,
)


@given(
    RECORDS,
    st.sampled_from([None, 0, 2]),
    st.booleans(),
    st.dictionaries(TEXTS, TEXTS | RECORDS, max_size=2),
    st.dictionaries(TEXTS, TEXTS | RECORDS, max_size=2),
)
def test_pieces_are_the_list_or_the_file_is_irregular(path, records, indent, sort, before, after):
    before.pop("list", None)
    after.pop("list", None)
    whole = {**before, "list": records, **after}
    path.write_text(json.dumps(whole, indent=indent, sort_keys=sort, ensure_ascii=False), "utf-8")
    try:
        found = read_list(path, "list")
    except IrregularFile:
        return
    assert found == [Record(record["id"], record.get("text", "")) for record in records]


@given(RECORDS, st.sampled_from([None, 2]))
def test_files_as_official_tools_write_them_are_regular(path, records, indent):
    for record in records:
        record.pop("nested", None)
        record["text"] = record.get("text", "").replace("}", "")
    whole = {"info": {"a": [1]}, "list": records, "license": [{"id": 1}]}
    path.write_text(json.dumps(whole, indent=indent), "utf-8")
    expected = [Record(record["id"], record["text"]) for record in records]
    assert read_list(path, "list") == expected
    path.write_text(json.dumps(records, indent=indent), "utf-8")
    assert read_list(path, None) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"list": []}',
        '{"list": {"id": 1}}',
        '{"other": [{"id": 1}]}',
        '{"list": [{"id": 1}], "list": [{"id": 2}]}',
        '{"list": [{"id": 1}], "l\\u0069st": [{"id": 2}]}',
        '{"inner": {"list": [{"id": 1}]}}',
        '[{"list": [{"id": 1}]}]',
        '{"list": [{"id": 1}, {"id": 2}',
        '{"list": [{"id": 1}, {"id": 2}]',
        '{"list": [{"id": 1}, {"id": 2}]}}',
        '{"list": [{"id": 1}, {"id": 2},]}',
        '{"list": [{"id": 1}, {"id": "2"}]}',
        '{"list": [{"id": 1}, {"id": 2}], "other": NaN, }',
        '{"info": nil, "list": [{"id": 1}]}',
        '{"list": [{"id": 1, "x": "\x01"}]}',
        '{"list": ' + '[{"id": ' * 2000,
    ],
)
def test_irregular_files(path, text):
    path.write_text(text, "utf-8")
    with pytest.raises(IrregularFile):
        read_list(path, "list")


def test_bytes_that_are_not_utf8_are_irregular_even_where_skipped(path):
    path.write_bytes(b'{"list": [{"id": 1, "skipped": "\xff"}, {"id": 2}, {"id": 3}]}')
    with pytest.raises(IrregularFile):
        read_list(path, "list")


def test_what_only_looks_like_the_list_is_passed_over(path):
    path.write_text('{"list": {}, "text": "\\"list\\": [", "list" : [ {"id": 1}, {"id": 2}]}')
    assert read_list(path, "list") == [Record(1), Record(2)]

"""VQA annotations and results as columns of numbers, decoded fast and by two processes.

Only files in the official layout are read here: every question has the same number of answers,
whose ``answer_id`` counts from 1, so that no two people's answers are equal as objects. All other
files raise ``IrregularFile`` and are left to ``entries``.
"""

import gc
import mmap
import os
import subprocess
import sys
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any, BinaryIO, Literal, NamedTuple, TypeVar

import msgspec

from .answers import normalize_answer, strip_answer
from .file_copy import FileCopy
from .json_pieces import IrregularFile, JsonList, decode_range, decode_tail, open_list

# From this size on a second process decodes a part; it takes 0.1 s to start.
SHARED_BYTES = 16 << 20
# The second process gets more than half: this one reads the predictions too.
OTHERS_SHARE = 0.55
# Each answer of a question is decoded by a type of its own.
MOST_ANSWERS = 64

GET_ANSWER, GET_ANSWERS = attrgetter("answer"), attrgetter("answers")
# A longer id does not fit into a column and is left to the plain decoder.
Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
R = TypeVar("R")


class Result(msgspec.Struct, gc=False):
    """One entry of a results file."""

    question_id: Id
    answer: str


class Answered(msgspec.Struct, gc=False):
    """One entry of an annotations file, for the number of its answers."""

    answers: list[msgspec.Raw]


class Identified(msgspec.Struct, gc=False):
    """One entry of a questions file, its text left out."""

    question_id: Id


class Numbering(dict[str, int]):
    """Numbers strings as they come: the first one met is 0."""

    def __missing__(self, text: str) -> int:
        self[text] = number = len(self)
        return number


class Texts(msgspec.Struct):
    """Some distinct answers in the two forms in which answers are compared."""

    stripped: list[str]
    normal: list[str]


def both_forms(answers: Iterable[str]) -> Texts:
    """Answers as they are compared when all people agree, and when they do not."""
    stripped = [strip_answer(answer) for answer in answers]
    return Texts(stripped, [normalize_answer(answer) for answer in stripped])


class Columns(msgspec.Struct):
    """N questions' annotations with A answers each, column by column.

    ``question_id``, ``image_id`` int64[N]; ``question_type``, ``answer_type`` int32[N] number into
    ``question_types``, ``answer_types``, in the order in which these first occur; ``answers``
    int32[N * A] into ``texts``. All numbers are in native byte order.
    """

    question_id: bytes
    image_id: bytes
    question_type: bytes
    answer_type: bytes
    answers: bytes
    question_types: list[str]
    answer_types: list[str]
    texts: Texts


@cache
def record_type(n_answers: int) -> Any:
    """The type of an annotation with ``n_answers`` answers, numbered from 1.

    As the numbers are part of the type, msgspec checks them while it decodes.
    """
    people = tuple(
        msgspec.defstruct(f"Answer{k}", [("answer", str), ("answer_id", Literal[k])], gc=False)
        for k in range(1, n_answers + 1)
    )
    return msgspec.defstruct(
        "Record",
        [
            ("question_id", Id),
            ("image_id", Id),
            ("question_type", str),
            ("answer_type", str),
            ("answers", tuple[people]),  # type: ignore[valid-type]
        ],
        gc=False,
    )


def encode_records(pieces: Iterator[list[Any]]) -> Columns:
    """Turn decoded records into columns, piece by piece, so that few are in memory at once."""
    question_id, image_id = array("q"), array("q")
    question_type, answer_type, answers = array("i"), array("i"), array("i")
    question_types, answer_types, strings = Numbering(), Numbering(), Numbering()
    for records in pieces:
        question_id.extend([record.question_id for record in records])
        image_id.extend([record.image_id for record in records])
        question_type.extend([question_types[record.question_type] for record in records])
        answer_type.extend([answer_types[record.answer_type] for record in records])
        people = chain.from_iterable(map(GET_ANSWERS, records))
        answers.extend(list(map(strings.__getitem__, map(GET_ANSWER, people))))
    return Columns(
        question_id.tobytes(),
        image_id.tobytes(),
        question_type.tobytes(),
        answer_type.tobytes(),
        answers.tobytes(),
        list(question_types),
        list(answer_types),
        both_forms(strings),
    )


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Keep the collector from scanning, again and again, objects that are in no cycle."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class AnnotationReader:
    """Reads a copy of an annotations file; a long one partly in a second process, started at once.

    Raises ``IrregularFile`` when made or when read.
    """

    def __init__(self, copy: FileCopy) -> None:
        self.source = open_list(copy.text(), "annotations")
        self.n_answers = count_answers(self.source)
        first, stop = self.source.first, self.source.stop
        self.own_stop, self.others_start = stop, stop
        self.process: subprocess.Popen[bytes] | None = None
        file = copy.file()
        if file and stop - first >= SHARED_BYTES and (os.cpu_count() or 1) > 1:
            others = self.source.next_cut(stop - int((stop - first) * OTHERS_SHARE))
            self.process = start_process(file, others[1], self.n_answers)
            if self.process:
                self.own_stop, self.others_start = others

    def read(self) -> list[Columns]:
        """The columns of the file's parts, in order. Can be called once."""
        record = record_type(self.n_answers)
        try:
            with no_garbage_collection():
                own = decode_range(self.source, self.source.first, self.own_stop, record)
                parts = [encode_records(own)]
                last = encode_records(iter([decode_tail(self.source, record)]))
            output = self.process.communicate()[0] if self.process else b""
            if self.process and self.process.returncode == 0:
                parts.append(msgspec.msgpack.decode(output, type=Columns))
            else:  # there is nothing left, or the other process could not do it
                rest = decode_range(self.source, self.others_start, self.source.stop, record)
                parts.append(encode_records(rest))
        finally:
            self.close()
        return [*parts, last]

    def close(self) -> None:
        """End the second process, if there is one still."""
        if self.process:
            process, self.process = self.process, None
            with process:
                process.kill()


def count_answers(source: JsonList) -> int:
    """The number of answers of the first question."""
    end, _ = source.next_cut(source.first)
    pieces = (
        decode_range(source, source.first, end, Answered)
        if end > source.first
        else iter([decode_tail(source, Answered)])
    )
    n_answers = len(next(pieces)[0].answers)
    if not 0 < n_answers <= MOST_ANSWERS:
        raise IrregularFile
    return n_answers


def start_process(file: BinaryIO, start: int, n_answers: int) -> subprocess.Popen[bytes] | None:
    """Start a process that decodes a file from a cut on, up to its tail; None if that fails.

    Its standard input is the open file itself: the file of a name may have been replaced.
    """
    code = "from frostgrid.evaluate.vqa.columns import serve; serve()"
    command = [sys.executable, "-P", "-c", code, str(start), str(n_answers)]
    try:
        return subprocess.Popen(
            command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return None


def serve() -> None:
    """What the second process does: write the columns of its part to standard output."""
    start, n_answers = int(sys.argv[1]), int(sys.argv[2])
    gc.disable()
    try:
        text = mmap.mmap(sys.stdin.fileno(), 0, access=mmap.ACCESS_READ)
        source = open_list(text, "annotations")
        columns = encode_records(decode_range(source, start, source.stop, record_type(n_answers)))
    except IrregularFile:
        sys.exit(1)
    sys.stdout.buffer.write(msgspec.msgpack.encode(columns))


class Results(NamedTuple):
    """N entries of a results file: ``question_id`` int64[N] and ``answer`` int32[N].

    Answers are numbers into ``texts``.
    """

    question_id: "array[int]"
    answer: "array[int]"
    texts: Texts


def decode_results(text: bytes) -> Results:
    """Decode a results file, whose ids may be "7" or 7.0. Raises ``IrregularFile``."""
    question_id, answer, strings = array("q"), array("i"), Numbering()
    for entries in decode_list(text, None, Result, strict=False):
        question_id.extend([entry.question_id for entry in entries])
        answer.extend([strings[entry.answer] for entry in entries])
    return Results(question_id, answer, both_forms(strings))


def decode_ids(text: bytes) -> list[int]:
    """The ids of a questions file. Raises ``IrregularFile``."""
    return [
        entry.question_id
        for entries in decode_list(text, "questions", Identified)
        for entry in entries
    ]


def decode_list(
    text: bytes, key: str | None, record: type[R], *, strict: bool = True
) -> Iterator[list[R]]:
    """Decode a whole list, some objects at a time."""
    source = open_list(text, key)
    with no_garbage_collection():
        yield from decode_range(source, source.first, source.stop, record, strict=strict)
        yield decode_tail(source, record, strict=strict)

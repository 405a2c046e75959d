"""VQA data for training: a data set's JSON files to integer arrays, kept in the user's cache."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from ...datasets.annotations import AnswerTable, align_answers, read_answers
from ...datasets.cache import (
    Arrays,
    cached_arrays,
    pack_names,
    string_array,
    strings_of,
    unpack_names,
)
from ...datasets.dataset import Dataset
from ...datasets.formats import SourceFile
from ...datasets.questions import QuestionTable, read_questions
from ...datasets.text import QUESTION_SPECIALS, Vocabulary, tokenize_all
from ...errors import InputError
from ..features.views import says_side
from .digests import digest
from .selection import (
    NOTHING,
    Division,
    LeftOut,
    SplitPart,
    pack_left_out,
    unpack_left_out,
)
from .vocabulary import build_vocabulary
from .vqa_parts import join_parts
from .vqa_targets import (
    ComparedAnswers,
    SoftTargets,
    best_score,
    choose_answers,
    compare_answers,
    soft_targets,
)

FORMAT_VERSION = 4  # of the cached arrays; raise it when the same files would give others


@dataclass(frozen=True)
class VqaOptions:
    """How questions and answers become classes and tokens.

    ``n_answers``: the length of the answer list at most; ``None`` keeps all.
    ``min_answer_count``: questions that an answer must be the commonest to; ``None`` for no limit.
    ``max_question_length``: words after which a question is cut.
    ``min_word_count``: times that a word must occur in the training questions.
    """

    n_answers: int | None = 3000
    min_answer_count: int | None = None
    max_question_length: int = 26
    min_word_count: int = 1


@dataclass
class VqaData:
    """The questions of one split: what a training run needs, row by row.

    ``question_id`` and ``image_id`` are int64 [Q]; ``tokens`` int32 [Q, T], padded with 0, and
    ``length`` int32 [Q], at least 1; ``targets`` is None where the split has no annotations.
    ``is_cut``, bool [Q], tells which questions were cut to the greatest length. ``digests`` are
    those of the questions and the answers as they were given, whatever they became; ``left_out``
    says what of the split is not here (see ``selection``). ``id_names``: the question ids that are
    no numbers, by the number that stands for each. ``says_side``, bool [Q]: of which questions the
    text or an answer says left or right.
    """

    question_id: NDArray[np.int64]
    image_id: NDArray[np.int64]
    tokens: NDArray[np.int32]
    length: NDArray[np.int32]
    targets: SoftTargets | None
    is_cut: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    digests: dict[str, str] = field(default_factory=dict)
    id_names: dict[int, str] = field(default_factory=dict)
    left_out: LeftOut = field(default_factory=dict)
    says_side: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))

    @property
    def n_cut(self) -> int:
        """How many were cut to the greatest length."""
        return int(self.is_cut.sum())

    @property
    def sided_images(self) -> NDArray[np.int64]:
        """The ids of the images on which a question or an answer says left or right."""
        return np.unique(self.image_id[self.says_side])

    def of_part(self, part: SplitPart) -> "VqaData":
        """The questions on a part of the split's images."""
        if part.image_ids is None:
            return self
        rows = np.flatnonzero(part.keeps(self.image_id))
        return replace(
            self,
            question_id=self.question_id[rows],
            image_id=self.image_id[rows],
            tokens=self.tokens[rows],
            length=self.length[rows],
            is_cut=self.is_cut[rows],
            says_side=self.says_side[rows],
            targets=None if self.targets is None else self.targets.take(rows),
            left_out=part.count_left_out(self.image_id),
        )


def load_train_val(
    dataset: Dataset, options: VqaOptions, division: Division | None = None
) -> tuple[VqaData, VqaData, list[str], list[str]]:
    """The training and the validation split, the words and the answer list.

    Words and answers come from the training split alone, of which a ``division`` may leave out
    some. Without validation its split is empty.

    Raises ``InputError`` when a file is missing, empty or does not fit; see ``read_questions``,
    ``read_answers`` and ``align_answers``.
    """
    division = division or Division()
    if division.val is not None:  # training is scored on it, so say at once if it is missing
        dataset.annotations_path(division.val.split)
    files = [_read_files(dataset, part.split, answered=True) for part in division.train]
    hashes = [file.sha256 for pair in files for file in pair]
    key = [FORMAT_VERSION, asdict(options), *hashes, *division.key]
    arrays = cached_arrays("vqa-train", key, lambda: _build_train(files, division, options))
    words, answers = strings_of(arrays["words"]), strings_of(arrays["answers"])
    train = _unpack(arrays)
    if division.val is None:
        return train, replace(train.of_part(NOTHING), digests={}), words, answers
    longest = options.max_question_length
    val = load_split(dataset, division.val.split, words, answers, longest)
    return train, val.of_part(division.val), words, answers


def load_split(
    dataset: Dataset,
    split: str,
    words: Sequence[str],
    answers: Sequence[str],
    max_question_length: int = 26,
) -> VqaData:
    """One split in the words and answers of a trained head; without annotations no targets.

    Raises ``InputError`` as ``load_train_val`` does.
    """
    split = dataset.checked_split(split)
    files = _read_files(dataset, split)
    hashes = [file.sha256 for file in files]
    key = [FORMAT_VERSION, max_question_length, list(words), list(answers), *hashes]

    def build() -> Arrays:
        questions, given = _parse(files)
        compared = None if given is None else compare_answers(given)
        tokens = tokenize_all(questions.text)
        encoded = Vocabulary(words).encode_tokens(tokens, max_question_length)
        arrays = _pack(questions, encoded, compared, answers)
        return arrays | _describe(questions, given, tokens, max_question_length)

    return _unpack(cached_arrays("vqa-split", key, build))


def coverage(data: VqaData) -> float:
    """The best mean accuracy that the answer list allows on the split, in percent.

    Raises ``InputError`` for a split without annotations.
    """
    if data.targets is None:
        raise InputError("the split has no annotations, so nothing can be said of its answers.")
    return best_score(data.targets)


def _read_files(dataset: Dataset, split: str, answered: bool = False) -> list[SourceFile]:
    """The questions and, if there are or must be any, the annotations; parsed if not cached."""
    paths = [dataset.questions_path(split)]
    if answered or dataset.has_annotations(split):
        paths.append(dataset.annotations_path(split))
    return [dataset.source(path) for path in paths]


def _parse(files: list[SourceFile]) -> tuple[QuestionTable, AnswerTable | None]:
    questions = read_questions(files[0])
    if len(files) == 1:
        return questions, None
    return questions, align_answers(questions, read_answers(files[1]), *files)


def _build_train(files: list[list[SourceFile]], division: Division, options: VqaOptions) -> Arrays:
    parsed = [_parse(pair) for pair in files]
    left_out = [
        part.count_left_out(questions.image_id)
        for part, (questions, _) in zip(division.train, parsed, strict=True)
    ]
    questions, given = join_parts(division, parsed)
    compared = compare_answers(given)
    answers = choose_answers(compared, options.n_answers, options.min_answer_count)
    tokens = tokenize_all(questions.text)
    source = files[0][0]
    vocabulary = build_vocabulary(tokens, QUESTION_SPECIALS, options.min_word_count, source)
    encoded = vocabulary.encode_tokens(tokens, options.max_question_length)
    arrays = _pack(questions, encoded, compared, answers)
    arrays |= _describe(questions, given, tokens, options.max_question_length)
    return arrays | {
        "words": string_array(vocabulary.words),
        "answers": string_array(answers),
        "left_out": pack_left_out(left_out),
    }


def _pack(
    questions: QuestionTable,
    tokens: tuple[NDArray[np.int32], NDArray[np.int32]],
    compared: ComparedAnswers | None,
    answers: Sequence[str],
) -> Arrays:
    arrays: Arrays = {
        "question_id": questions.question_id,
        "image_id": questions.image_id,
        "tokens": tokens[0],
        "length": tokens[1],
    }
    if compared is not None:
        targets = soft_targets(compared, answers)
        arrays |= {f"targets.{f.name}": getattr(targets, f.name) for f in fields(targets)}
    return arrays


def _describe(
    questions: QuestionTable, given: AnswerTable | None, tokens: list[list[str]], max_length: int
) -> Arrays:
    """Which questions are cut or say a side, and the digests of what the files say."""
    sided = says_side(questions.text)
    digests = {
        "questions": digest(questions.question_id, questions.image_id, questions.text),
        "answers": "",
    }
    if given is not None:
        columns = given.question_id, given.indptr, given.text_index, given.person, given.texts
        digests["answers"] = digest(*columns)
        n_sided = np.concatenate([[0], np.cumsum(says_side(given.texts)[given.text_index])])
        sided |= np.diff(n_sided[given.indptr]) > 0
    is_cut = np.array([len(words) > max_length for words in tokens], np.bool_)
    arrays: Arrays = {"is_cut": is_cut, "says_side": sided}
    arrays["digests"] = string_array(list(digests.values()))
    return arrays | pack_names(questions.id_names)


def _unpack(arrays: Arrays) -> VqaData:
    targets = None
    if "targets.indptr" in arrays:
        targets = SoftTargets(**{f.name: arrays[f"targets.{f.name}"] for f in fields(SoftTargets)})
    questions, answers = strings_of(arrays["digests"])
    return VqaData(
        question_id=arrays["question_id"],
        image_id=arrays["image_id"],
        tokens=arrays["tokens"],
        length=arrays["length"],
        targets=targets,
        is_cut=arrays["is_cut"],
        says_side=arrays["says_side"],
        digests={"questions": questions} | ({"answers": answers} if answers else {}),
        id_names=unpack_names(arrays),
        left_out=unpack_left_out(arrays),
    )

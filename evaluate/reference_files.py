"""Which files to score against: those named, a data set's, or those that the results are of.

That is what ``predict`` recorded beside them, or else what the run folder around them says.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ..atomic import write_bytes
from ..datasets.layouts.official import as_official
from ..errors import InputError
from .layouts import ResultsFile, Task
from .vqa.references import VqaReferences

DEFAULT_SPLIT = "val"


@dataclass(frozen=True)
class Choice:
    """What the user said about references: paths, or a data set by name or folder and its split."""

    questions: Path | None = None
    annotations: Path | None = None
    captions: Path | None = None
    data: str | None = None
    split: str | None = None
    only_predicted: bool = False


@dataclass(frozen=True)
class CaptionReferences:
    """A COCO captions file, or a Karpathy file and which split; ``origin``: the user's own.

    With ``only_predicted``, images without a prediction do not count. ``data``: the data set that
    it belongs to, if one was named.
    """

    path: Path
    split: str
    origin: Path
    only_predicted: bool = False
    data: str = ""


References = VqaReferences | CaptionReferences


class ResultsSource(msgspec.Struct):
    """What results are of: all of ``PREDS.config.json``, and a part of a run's ``config.json``.

    ``sha256`` is that of the results, which a run does not record. ``left_out`` says how much of
    the split was not predicted, and why: reason -> how many "images" and "texts".
    """

    data: str
    split: str = DEFAULT_SPLIT
    task: Task | None = None
    sha256: str = ""
    left_out: dict[str, dict[str, int]] = {}

    def items_left_out(self, task: Task) -> dict[str, int]:
        """Reason -> how many questions, or images to be described."""
        unit = "texts" if task == "vqa" else "images"
        counts = {reason: count.get(unit, 0) for reason, count in self.left_out.items()}
        return {reason: n for reason, n in counts.items() if n}


@dataclass(frozen=True)
class FoundReferences:
    """References with their task; where they are from, in words; what was not predicted.

    ``left_out``: as it was recorded when it was predicted, reason -> how many.
    """

    task: Task
    references: References
    origin: str
    left_out: dict[str, int] = field(default_factory=dict)


def find_references(results: list[ResultsFile], choice: Choice) -> FoundReferences:
    """The references of these results.

    As chosen, else those that the first one is of. Those for VQA start to be read. Raises
    ``InputError`` if the results are of several tasks, if what was chosen is for another task, or
    if nothing was chosen and nothing says it.
    """
    path = results[0].path
    stated = {file.task: file.path for file in results if file.task}
    if len(stated) > 1:
        first, second = stated.values()
        raise InputError(
            f"{first} and {second} hold results of different tasks (answers and captions); "
            "score them one by one."
        )
    task = next(iter(stated), None)
    if choice.annotations or choice.captions:
        task = task or ("vqa" if choice.annotations else "caption")
        return FoundReferences(task, *chosen_references(path, task, choice))
    source, by_whom = recorded_source(path), ""
    if choice.data is None:
        says = source_path(path) if source else path.with_name("config.json")
        source, by_whom = source or read_source(path, says), f", as {says} says"
        task = task or source.task
    if task is None:
        raise InputError(
            f"{path}: {{id: text}} does not say whether the texts are answers or captions; give "
            "--annotations FILE or --captions FILE."
        )
    split = choice.split or (source.split if source else DEFAULT_SPLIT)
    data = source.data if source and choice.data is None else str(choice.data)
    left_out = source.items_left_out(task) if source and not choice.only_predicted else {}
    only = choice.only_predicted or bool(left_out)
    found = data_references(task, data, split, by_whom, only_predicted=only)
    return FoundReferences(task, *found, left_out)


def chosen_references(path: Path, task: Task, choice: Choice) -> tuple[References, str]:
    """The references that were chosen by file. Raises ``InputError`` if they are another task's."""
    if task == "vqa":
        if choice.annotations is None:
            raise InputError(
                f'{path}: holds answers to questions ("answer"), but --captions was given; '
                "give --annotations."
            )
        official = as_official(choice.annotations, "annotations", choice.split or DEFAULT_SPLIT)
        answers = VqaReferences(official, choice.questions, choice.only_predicted)
        return answers, str(choice.annotations)
    if choice.captions is None:
        raise InputError(
            f'{path}: holds captions ("caption"), but --annotations was given; give --captions.'
        )
    split = choice.split or DEFAULT_SPLIT
    official = as_official(choice.captions, "captions", split)
    references = CaptionReferences(official.path, split, official.origin, choice.only_predicted)
    return references, str(choice.captions)


def data_references(
    task: Task, data: str, split: str, by_whom: str, *, only_predicted: bool = False
) -> tuple[References, str]:
    """The references of a data set, by name or folder."""
    from ..datasets.catalog import open_dataset  # imports NumPy, which can wait

    dataset = open_dataset(data)
    path = dataset.annotations_path(split) if task == "vqa" else dataset.captions_path(split)
    official = dataset.official(path)
    origin = f"{official.origin} ({data}, split {split}{by_whom})"
    if task == "caption":
        return CaptionReferences(path, split, official.origin, only_predicted, data), origin
    has_questions = dataset.has_vqa(split)
    asked = dataset.official(dataset.questions_path(split)).path if has_questions else None
    return VqaReferences(official, only_predicted=only_predicted, asked=asked), origin


def source_path(results: Path) -> Path:
    """Where ``predict`` records what the results are of: ``preds-test.config.json``, say."""
    return results.with_name(f"{results.stem}.config.json")


def record_source(
    results: Path,
    data: str,
    split: str,
    task: Task,
    left_out: dict[str, dict[str, int]] | None = None,
) -> None:
    """Record what results that were just written are of."""
    source = ResultsSource(data, split, task, sha256_of(results), left_out or {})
    write_bytes(source_path(results), msgspec.json.encode(source))


def recorded_source(results: Path) -> ResultsSource | None:
    """What was recorded of these very results, if anything was."""
    path = source_path(results)
    source = read_source(results, path) if path.is_file() else None
    return source if source and source.sha256 == sha256_of(results) else None


def sha256_of(path: Path) -> str:
    """The hash of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_source(results: Path, path: Path) -> ResultsSource:
    """What ``path``, beside the results, says that they are of."""
    if not path.is_file():
        raise InputError(
            f"{results}: there is no config.json beside it that names its references; give "
            "--annotations FILE (answers), --captions FILE (captions) or --data NAME|DIR."
        )
    try:
        return msgspec.json.decode(path.read_bytes(), type=ResultsSource)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            f"{path}: does not say what data the results are of ({error}); give --annotations, "
            "--captions or --data."
        ) from error

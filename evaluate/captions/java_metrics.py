"""METEOR and SPICE by their authors' own Java programs, which the user has; never by a port.

The programs are called as pycocoevalcap calls them, on the same tokens: the figures are the same.
"""

import hashlib
import importlib.util
import json
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from ...errors import InputError
from ..bootstrap import Float64

REPLY_SECONDS = 300  # that METEOR may take to start, or for one caption


@dataclass(frozen=True)
class JavaMetric:
    """A metric's name, its program's file, and who else may name or hold that."""

    name: str
    jar: str
    option: str
    variable: str  # of the environment


JAVA_METRICS = {
    name: JavaMetric(name.upper(), jar, f"--{name}-jar", f"FROSTGRID_{name.upper()}_JAR")
    for name, jar in {"meteor": "meteor-1.5.jar", "spice": "spice-1.0.jar"}.items()
}


@dataclass(frozen=True)
class Program:
    """A metric's program: the ``java`` command and the jar."""

    metric: JavaMetric
    java: str
    jar: Path

    @property
    def signature(self) -> str:
        """The jar and the beginning of its hash."""
        digest = hashlib.sha256(self.jar.read_bytes()).hexdigest()
        return f"{self.metric.name.lower()}:{self.jar.name}#{digest[:8]}"

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        return [self.java, *arguments[:1], "-jar", str(self.jar), *arguments[1:]]

    def error(self, what: str, said: str) -> InputError:
        """The error for a program that did not work, with the first line that it said, if any."""
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        reason = f" ({lines[0]})" if lines else ""
        return InputError(
            f"{self.jar}: {what}{reason}; {self.metric.name} is computed by {self.metric.jar} "
            f"alone, with the files beside it: name that by {self.metric.option}, or leave "
            f"{self.metric.name} out."
        )


def find_program(name: str, jar: Path | None) -> Program:
    """A metric's program: the jar that was named, or that of an installed pycocoevalcap.

    Raises ``InputError`` if there is no Java or no jar.
    """
    metric = JAVA_METRICS[name]
    path = jar or installed_jar(name)
    if path is None:
        raise InputError(
            f"{metric.name} is computed by its authors' {metric.jar}, which is not here: name it "
            f"by {metric.option} FILE or {metric.variable}, or install pycocoevalcap, which has it."
        )
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; {metric.option} expects {metric.jar}, {metric.name}'s program."
        )
    java = shutil.which("java")
    if java is None:
        raise InputError(
            f"{metric.name} needs Java, and there is no command `java` here; install a Java "
            f"runtime (`apt-get install default-jre-headless`, say), or leave {metric.name} out."
        )
    return Program(metric, java, path.resolve())


def installed_jar(name: str) -> Path | None:
    """The jar in an installed pycocoevalcap, which is not imported."""
    spec = importlib.util.find_spec("pycocoevalcap")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / name / JAVA_METRICS[name].jar
        if path.is_file():
            return path
    return None


def meteor(
    program: Program, predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[float, Float64]:
    """METEOR of the corpus and of each caption, float64[N], all of them tokens with spaces between.

    Denkowski and Lavie (2014), "Meteor Universal". Raises ``InputError`` if the program fails.
    """
    with tempfile.TemporaryFile() as errors, conversation(program, errors) as say:
        statistics = []
        for prediction, texts in zip(predictions, references, strict=True):
            # Quirks of pycocoevalcap's, which a caption's score depends on.
            prediction = prediction.replace("|||", "").replace("  ", " ")
            say(" ||| ".join(["SCORE", *texts, prediction]))
            statistics.append(say.reply())
        say(" ||| ".join(["EVAL", *statistics]))
        scores = [say.number() for _ in predictions]
        return say.number(), np.array(scores)


class Dialogue:
    """Lines to a program, and its replies."""

    def __init__(self, program: Program, process: "subprocess.Popen[str]", errors: IO[bytes]):
        self.program, self.process, self.errors = program, process, errors

    def __call__(self, line: str) -> None:
        """Say a line."""
        assert self.process.stdin
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except OSError:
            raise self._failed("stopped") from None

    def reply(self) -> str:
        """The next line that it says."""
        assert self.process.stdout
        timer = threading.Timer(REPLY_SECONDS, self.process.kill)
        timer.start()
        try:
            line = self.process.stdout.readline()
        finally:
            timer.cancel()
        if not line.endswith("\n"):
            raise self._failed("stopped before it had answered")
        return line.strip()

    def number(self) -> float:
        """The next line, a number."""
        line = self.reply()
        try:
            return float(line)
        except ValueError:
            raise self._failed(f"answered {line[:60]!r}, not a number") from None

    def _failed(self, what: str) -> InputError:
        self.process.kill()
        self.process.wait()
        self.errors.seek(0)
        return self.program.error(what, self.errors.read().decode("utf-8", "replace"))


@contextmanager
def conversation(program: Program, errors: IO[bytes]) -> Iterator[Dialogue]:
    """METEOR's program, running until the end of the context."""
    command = program.command("-Xmx2G", "-", "-", "-stdio", "-l", "en", "-norm")
    with subprocess.Popen(
        command,
        cwd=program.jar.parent,  # where its data are
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        encoding="utf-8",
    ) as process:
        try:
            yield Dialogue(program, process, errors)
        finally:
            process.kill()


def spice(
    program: Program,
    image_ids: Sequence[int],
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
) -> tuple[float, Float64]:
    """The mean SPICE (F-score) over images, and each image's, float64[N].

    Anderson et al. (2016). Raises ``InputError`` if the program fails.
    """
    rows = sorted(range(len(image_ids)), key=lambda k: image_ids[k])  # as pycocoevalcap has them
    entries = [
        {"image_id": image_ids[k], "test": predictions[k], "refs": list(references[k])}
        for k in rows
    ]
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder, "in.json"), Path(folder, "out.json")
        given.write_text(json.dumps(entries), "utf-8")
        options = (str(given), "-out", str(found), "-subset", "-silent")
        done = subprocess.run(
            program.command("-Xmx8G", *options),
            cwd=program.jar.parent,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        try:
            scores = {e["image_id"]: e["scores"]["All"]["f"] for e in json.loads(found.read_text())}
            each = np.array([scores[image_ids[k]] for k in rows], np.float64)  # None becomes NaN
        except (OSError, ValueError, LookupError, TypeError):
            what = f"ended with exit code {done.returncode} and without scores"
            raise program.error(what, done.stderr or done.stdout) from None
    ordered = np.empty(len(rows))
    ordered[rows] = each
    return float(np.mean(each)), ordered

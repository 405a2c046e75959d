import json
import shlex
import shutil
from pathlib import Path
from shlex import quote

import pytest
import torch
from click.testing import CliRunner, Result
from frostgrid.datasets.catalog import open_dataset
from frostgrid.evaluate.cli import score
from frostgrid.featurize.file.reader import open_features
from frostgrid.predict.cli import predict
from frostgrid.predict.trained import load_run
from frostgrid.train.data.vqa import load_split
from reference.runs import run_head


def call(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(predict, [*map(str, words), "--device", "cpu"])
    assert result.exit_code == code, result.output
    return result


@pytest.mark.parametrize(
    "head", ["san", "mcan", "question-only", "rnn-decoder", "transformer-decoder"]
)
def test_a_split_is_predicted_into_a_new_folder_and_scored(
    head: str, runs: dict[str, Path], tiny_set: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    out = tmp_path / "not yet" / "there" / "train.json"
    call(runs[head], "--split", "train", "--out", out, "--beam", 2)
    scored = CliRunner().invoke(score, [str(out), "--data", str(tiny_set[0]), "--split", "train"])
    assert scored.exit_code == 0, scored.output


@pytest.mark.parametrize("head", ["question-only", "rnn-decoder"])
@pytest.mark.parametrize("out", [None, "elsewhere.json"])
def test_score_takes_the_split_that_was_predicted(
    head: str, out: str | None, runs: dict[str, Path], tmp_path: Path
) -> None:
    run = tmp_path / "a run"
    shutil.copytree(runs[head], run)
    path = tmp_path / out if out else run / "preds-train.json"
    shown = call(run, "--split", "train", *(["--out", path] if out else [])).stdout
    assert shown.splitlines()[-1] == f"score it   score {quote(str(path))}"
    asked = [*shlex.split(shown.splitlines()[-1].split("score it   score ")[1]), "--bootstrap", "0"]
    scored = CliRunner().invoke(score, asked)
    assert scored.exit_code == 0, scored.output
    assert f"split train, as {path.with_suffix('.config.json')} says" in scored.output
    # Where the data was moved, it is still the split that counts.
    data = json.loads((run / "config.json").read_text())["data"]
    scored = CliRunner().invoke(score, [*asked, "--data", data])
    assert f"({data}, split train)" in scored.output
    # What was recorded is of those predictions alone, not of others under their name.
    shutil.copy(run / "preds.json", run / "preds-train.json")
    scored = CliRunner().invoke(score, [str(run / "preds-train.json"), "--bootstrap", "0"])
    assert f"split val, as {run / 'config.json'} says" in scored.output


def test_a_split_without_references_is_predicted_and_not_to_be_scored(
    runs: dict[str, Path], tiny_set: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for path in tiny_set[0].iterdir():
        if path.name != "val_annotations.json" and path.suffix == ".json":
            shutil.copy(path, data / path.name)
    (data / "images").symlink_to(tiny_set[0] / "images")
    shown = call(runs["question-only"], "--data", data, "--out", tmp_path / "p.json").stdout
    assert f"score it   {data} has no answers for the split val to score against" in shown


def test_the_best_epoch_s_answers_are_those_of_the_training(runs: dict[str, Path]) -> None:
    call(runs["san"])
    before, now = (
        {entry["question_id"]: entry["answer"] for entry in json.loads(path.read_text())}
        for path in (runs["san"] / "preds.json", runs["san"] / "preds-val.json")
    )
    assert now == before


def test_a_split_that_is_not_there_is_told(runs: dict[str, Path]) -> None:
    result = call(runs["san"], "--split", "test", code=1)
    assert "has no split 'test'; it has train and val" in result.stderr


def test_features_of_the_run_s_own_network_are_looked_for(
    runs: dict[str, Path],
    tiny_set: tuple[Path, list[Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    root, files = tiny_set
    other = tmp_path / "other [set]"
    shutil.copytree(root, other)
    asked = (runs["san"], "--data", other, "--out", tmp_path / "preds.json")
    result = call(*asked, code=1)
    assert f"featurize --backbone resnet18 --data '{other}'" in result.stderr
    Path("features").mkdir()
    for network in ("resnet18", "resnet34"):  # the newest is of another network
        shutil.copy(files[1], f"features/{other.name}-val-{network}.h5")
    assert "features/other [set]-val-resnet18.h5" in call(*asked).stdout


def test_an_ensemble_answers_by_averaged_probabilities(
    runs: dict[str, Path], tiny_set: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    """Runs of other features and answers: one of them knows but two of the three colours."""
    other = tmp_path / "other"
    run_head("san", tiny_set, other, "--epochs", "1", "--answers", "3", "--amp", "off")
    paths = [runs["mcan"], runs["question-only"], other]
    call(*paths, "--out", tmp_path / "all.json")
    found = {e["question_id"]: e["answer"] for e in json.loads((tmp_path / "all.json").read_text())}

    total: dict[int, dict[str, float]] = {}
    for path in paths:
        trained = load_run(path, torch.device("cpu"))
        data, features = tiny_set
        questions = load_split(open_dataset(str(data)), "val", trained.words, trained.answers)
        for q in range(len(questions.question_id)):
            grid = open_features(features[1])
            row = grid.rows(questions.image_id[q : q + 1])
            cells = torch.from_numpy(grid.grid[row].copy())
            length = torch.from_numpy(questions.length[q : q + 1]).long()
            tokens = torch.from_numpy(questions.tokens[q : q + 1, : length[0]]).long()
            with torch.no_grad():
                scores = trained.head(cells, torch.tensor([0]), tokens, length)[0]
            own = total.setdefault(int(questions.question_id[q]), {})
            for answer, p in zip(trained.answers, scores.softmax(0).tolist(), strict=True):
                own[answer] = own.get(answer, 0) + p
    assert found == {question: max(own, key=own.__getitem__) for question, own in total.items()}


def test_an_ensemble_describes(runs: dict[str, Path], tmp_path: Path) -> None:
    call(runs["rnn-decoder"], runs["rnn-decoder"], "--out", tmp_path / "twice.json")
    call(runs["rnn-decoder"], "--out", tmp_path / "once.json")
    assert (tmp_path / "twice.json").read_text() == (tmp_path / "once.json").read_text()
    run = tmp_path / "run"
    shutil.copytree(runs["transformer-decoder"], run)
    shown = call(run, runs["show-attend-tell"], "--beam", 2).stdout
    assert f"wrote      9 captions to {run / 'preds-val-ensemble.json'}" in shown


def test_runs_that_cannot_speak_as_one_are_told(
    runs: dict[str, Path], tiny_set: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    result = call(runs["san"], runs["rnn-decoder"], code=1)
    assert "one answers questions, the other describes" in result.stderr
    other = tmp_path / "other"
    run_head("rnn-decoder", tiny_set, other, "--epochs", "1", "--min-word-count", "19")
    result = call(other, runs["rnn-decoder"], code=1)
    assert "their vocabularies differ" in result.stderr
    moved = tmp_path / "moved"
    shutil.copytree(runs["san"], moved)
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps(config | {"data": "/elsewhere"}))
    result = call(runs["san"], moved, code=1)
    assert "was trained on /elsewhere" in result.stderr

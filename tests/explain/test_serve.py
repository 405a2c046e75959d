import base64
import http.client
import io
import json
import threading
import urllib.error
import urllib.parse
import urllib.request

import pytest
import torch
from frostgrid.explain.server import Server
from frostgrid.explain.session import InferenceSession
from frostgrid.predict.trained import load_run
from PIL import Image

CPU = torch.device("cpu")
LIMIT = 100_000


@pytest.fixture(scope="module")
def server(runs):
    names = ("san", "mean-embed", "question-only", "show-attend-tell")
    session = InferenceSession([(name, load_run(runs[name], CPU)) for name in names], None, CPU)
    with Server(session, 0, LIMIT) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def photo():
    data = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 30, 30)).save(data, "PNG")
    return data.getvalue()


def post(server, data, path="/look", kind="image/png", headers=None, **fields):
    url = urllib.parse.urljoin(server.url, path) + "?" + urllib.parse.urlencode(fields)
    request = urllib.request.Request(url, data, {"Content-Type": kind, **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_page_needs_nothing_from_elsewhere(server):
    with urllib.request.urlopen(server.url) as reply:
        page = reply.read().decode()
        policy = reply.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http://" not in page
    assert "https://" not in page
    assert "show-attend-tell" in page
    assert server.server_address[0] == "127.0.0.1"


def test_a_question_is_answered_by_every_vqa_run(server, photo):
    status, reply = post(server, photo, task="vqa", question="what color is it?")
    assert status == 200
    san, mean, blind = reply["runs"]
    assert [run["name"] for run in reply["runs"]] == ["san", "mean-embed", "question-only"]
    assert [frame["label"] for frame in san["frames"]] == ["hop 1", "hop 2"]
    picture = base64.b64decode(san["frames"][0]["image"].partition(",")[2])
    assert Image.open(io.BytesIO(picture)).size == (480, 360)
    assert mean["frames"] == blind["frames"] == []
    assert "never looks" in blind["note"]
    for run in reply["runs"]:
        probabilities = [p for _, p in run["answers"]]
        assert probabilities == sorted(probabilities, reverse=True)


def test_a_caption_comes_word_by_word(server, photo):
    status, reply = post(server, photo, task="caption", question="")
    assert status == 200
    (run,) = reply["runs"]
    assert [frame["label"] for frame in run["frames"]] == [word for word, _ in run["words"]]


def test_a_photo_s_features_are_extracted_once(server, photo, monkeypatch):
    calls = []
    (network,) = server.session.networks
    extract = network.extract
    monkeypatch.setattr(network, "extract", lambda photo: calls.append(1) or extract(photo))
    new = io.BytesIO()
    Image.new("RGB", (50, 40), (0, 0, 250)).save(new, "PNG")
    for question in ("is it red?", "what color is it?"):
        assert post(server, new.getvalue(), task="vqa", question=question)[0] == 200
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"task": "vqa", "question": " "}, 400, "holds no word"),
        ({"task": "vqa", "question": "x" * 501}, 400, "500 letters"),
        ({"task": "dance", "question": "?"}, 400, "dance"),
        ({"path": "/../../etc/passwd", "task": "vqa"}, 404, "/look"),
        ({"kind": "text/html", "task": "vqa", "question": "is it red?"}, 415, "text/html"),
        ({"headers": {"Host": "evil.example"}, "task": "vqa"}, 403, "127.0.0.1"),
        ({"headers": {"Origin": "http://evil.example"}, "task": "vqa"}, 403, "Another web site"),
    ],
)
def test_what_is_amiss_is_said(fields, status, words, server, photo):
    got, reply = post(server, photo, **fields)
    assert got == status
    assert words in reply["error"]


def test_what_is_no_image_is_refused(server):
    got, reply = post(server, b"no image at all", task="vqa", question="is it red?")
    assert got == 400
    assert "not an image" in reply["error"]


def test_a_large_upload_is_refused_with_its_size(server):
    got, reply = post(server, bytes(3 * LIMIT), task="vqa", question="is it red?")
    assert got == 413
    assert "0.3 MB" in reply["error"]


@pytest.mark.parametrize("path", ["/etc/passwd", "/../secret", "/templates/page.css", "/%2e%2e/x"])
def test_there_is_no_other_file_to_get(path, server):
    connection = http.client.HTTPConnection(*server.server_address, timeout=10)
    connection.request("GET", path)
    reply = connection.getresponse()
    assert reply.status == 404
    reply.read()
    connection.close()


def test_a_length_must_be_given(server):
    connection = http.client.HTTPConnection(*server.server_address, timeout=10)
    connection.putrequest("POST", "/look?task=vqa&question=hm")
    connection.putheader("Content-Type", "image/png")
    connection.endheaders()
    reply = connection.getresponse()
    assert reply.status == 411
    reply.read()
    connection.close()

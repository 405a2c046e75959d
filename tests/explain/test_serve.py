import base64
import contextlib
import http.client
import io
import json
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from email.message import Message

import pytest
import torch
from frostgrid.explain import session as session_module
from frostgrid.explain import upload
from frostgrid.explain.server import Server
from frostgrid.explain.session import InferenceSession
from frostgrid.predict import photo as photo_module
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


def test_postscript_under_a_photo_s_name_starts_no_process(server, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("a process started"))
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n"
    got, reply = post(server, program, kind="image/jpeg", task="vqa", question="is it red?")
    assert got == 400
    assert "not an image in a known format" in reply["error"]


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


def raw_post(server, *header_lines, body=b""):
    """A request as typed, whose reply is (status, JSON)."""
    with socket.create_connection(server.server_address, timeout=30) as connection:
        host = f"Host: 127.0.0.1:{server.server_address[1]}"
        lines = ["POST /look?task=vqa&question=is+it+red%3F HTTP/1.1", host]
        lines += ["Content-Type: image/png", *header_lines, "", ""]
        connection.sendall("\r\n".join(lines).encode() + body)
        reply = http.client.HTTPResponse(connection)
        reply.begin()
        return reply.status, json.loads(reply.read())


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("Content-Length: " + "9" * 5000, 413, "has 5,000 digits; at most 0 MB are accepted"),
        ("Content-Length: " + "9" * 16, 413, "has 16 digits"),
        ("Content-Length: -5", 411, "does not say its length"),
        ("Content-Length: ٣", 411, "does not say its length"),
        ("Transfer-Encoding: chunked", 411, "does not say its length"),
    ],
)
def test_no_length_is_a_defect_of_the_program(line, status, words, server):
    got, reply = raw_post(server, line)
    assert got == status
    assert words in reply["error"]


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(server, monkeypatch):
    monkeypatch.setattr(session_module, "MAX_PIXELS", 10_000)
    monkeypatch.setattr(photo_module, "decode_upright", lambda data: pytest.fail("decoded"))
    data = io.BytesIO()
    Image.new("1", (101, 100)).save(data, "PNG")
    got, reply = post(server, data.getvalue(), task="vqa", question="is it red?")
    assert got == 400
    assert "has 0.0 megapixels; at most 0 are accepted" in reply["error"]


def test_one_image_at_a_time_is_decoded(server, photo, monkeypatch):
    running, most = [], []
    decode = session_module.decode_photo

    def decode_slowly(*arguments):
        running.append(1)
        most.append(len(running))
        time.sleep(0.02)
        running.pop()
        return decode(*arguments)

    monkeypatch.setattr(session_module, "decode_photo", decode_slowly)
    fields = {"task": "vqa", "question": "is it red?"}
    clients = [threading.Thread(target=post, args=(server, photo), kwargs=fields) for _ in range(8)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert len(most) == 8
    assert max(most) == 1


def test_two_hundred_clients_at_once_are_queued(runs):
    session = InferenceSession([("blind", load_run(runs["question-only"], CPU))], None, CPU)
    with Server(session, 0, LIMIT) as idle, contextlib.ExitStack() as stack:
        for _ in range(200):  # nobody accepts: a client beyond the backlog would time out
            stack.enter_context(socket.create_connection(idle.server_address, timeout=5))


def test_a_slow_client_delays_no_other_and_is_given_up(server, photo, monkeypatch):
    monkeypatch.setattr(upload, "BODY_SECONDS", 0.5)
    with socket.create_connection(server.server_address, timeout=30) as slow:
        host = f"Host: 127.0.0.1:{server.server_address[1]}"
        head = ["POST /look?task=vqa&question=hm HTTP/1.1", host, "Content-Type: image/png"]
        slow.sendall("\r\n".join([*head, "Content-Length: 9", "", ""]).encode())
        assert post(server, photo, task="vqa", question="is it red?")[0] == 200
        time.sleep(0.7)
        slow.sendall(b"x")
        reply = http.client.HTTPResponse(slow)
        reply.begin()
        assert reply.status == 408
        assert "did not arrive in time" in json.loads(reply.read())["error"]
    assert server.daemon_threads


def test_an_upload_cut_off_is_said(server):
    stream = io.BufferedReader(io.BytesIO(b"abc"))
    headers = Message()
    headers["Content-Length"] = "9"
    with pytest.raises(upload.Refused, match="cut off"):
        upload.read_body(stream, headers, LIMIT)

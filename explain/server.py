"""The server of ``frostgrid serve``: a page on this machine alone, to ask runs about photos."""

import http
import json
import secrets
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ..errors import InputError
from ..predict.provenance import NO_IMAGE, RANDOM_WARNING, has_random_weights, name_network
from .html import page_runs, render
from .palette import PALETTE
from .session import InferenceSession
from .upload import Refused, read_body

HOST = "127.0.0.1"
MAX_QUESTION = 500  # letters
BACKLOG = 1024  # connections that wait to be accepted; beyond, clients retry after seconds
IDLE_SECONDS = 30  # after which a silent client is disconnected


class Server(ThreadingHTTPServer):
    """Serves the page and answers questions, bound to 127.0.0.1.

    ``port`` 0 takes any that is free; ``upload_bytes`` is the largest image that is accepted.
    """

    daemon_threads = True  # a slow client delays neither the others nor the end
    allow_reuse_address = True
    request_queue_size = BACKLOG

    def __init__(self, session: InferenceSession, port: int, upload_bytes: int) -> None:
        self.session, self.upload_bytes = session, upload_bytes
        super().__init__((HOST, port), Handler)

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print the error, unless the client disconnected."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """``GET /``: the page. ``POST /look?task=…&question=…`` with an image as its body: JSON."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "frostgrid"
    sys_version = ""
    timeout = IDLE_SECONDS

    def do_GET(self) -> None:
        """Send the page, the only resource."""
        try:
            self.check_host()
            if urlsplit(self.path).path != "/":
                raise Refused(http.HTTPStatus.NOT_FOUND, "There is nothing here; the page is at /.")
        except Refused as refused:
            self.refuse(refused)
            return
        nonce = secrets.token_urlsafe(16)
        session = self.server.session
        configs = [run.trained.config for run in session.runs]
        page = render(
            "serve.html",
            nonce=nonce,
            tasks=sorted(session.tasks),
            limit=self.server.upload_bytes,
            colors=len(PALETTE),
            runs=page_runs([run.name for run in session.runs]),
            heads=[config.head for config in configs],
            networks=[n for n in dict.fromkeys(map(name_network, configs)) if n != NO_IMAGE],
            warning=f"Beware: {RANDOM_WARNING}." if any(map(has_random_weights, configs)) else "",
        )
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; "
            "img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )
        headers = {"Content-Security-Policy": policy}
        self.send(http.HTTPStatus.OK, "text/html; charset=utf-8", page.encode(), headers)

    def do_POST(self) -> None:
        """Answer a question about the image in the body, or describe it."""
        try:
            reply = self.answer()
        except Refused as refused:
            self.refuse(refused)
            return
        except InputError as error:
            self.refuse(Refused(http.HTTPStatus.BAD_REQUEST, str(error)))
            return
        except TimeoutError:
            sentence = "The image did not arrive in time; send it again."
            self.refuse(Refused(http.HTTPStatus.REQUEST_TIMEOUT, sentence))
            return
        except Exception:
            sentence = "This failed, by a defect of the program; its terminal says more."
            self.refuse(Refused(http.HTTPStatus.INTERNAL_SERVER_ERROR, sentence))
            raise
        self.send_json(http.HTTPStatus.OK, {"runs": reply})

    def answer(self) -> list[dict[str, Any]]:
        """Check the request, read the image, run the session."""
        self.check_host()
        parts = urlsplit(self.path)
        if parts.path != "/look":
            raise Refused(http.HTTPStatus.NOT_FOUND, "Send images to /look.")
        kind = self.headers.get_content_type()
        if not kind.startswith("image/") and kind != "application/octet-stream":
            raise Refused(
                http.HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"This is {kind}, not an image; choose a photo.",
            )
        fields = parse_qs(parts.query)
        task, question = (fields.get(name, [""])[0] for name in ("task", "question"))
        if task not in self.server.session.tasks:
            raise Refused(http.HTTPStatus.BAD_REQUEST, f"No run here is of the task {task!r}.")
        if len(question) > MAX_QUESTION:
            sentence = f"A question may have {MAX_QUESTION} letters; this one is longer."
            raise Refused(http.HTTPStatus.BAD_REQUEST, sentence)
        data = read_body(self.rfile, self.headers, self.server.upload_bytes)
        return self.server.session.reply(data, task, question)

    def check_host(self) -> None:
        """Refuse what other web sites send: DNS rebinding (Host), cross-site requests (Origin)."""
        port = self.server.server_address[1]
        ours = {f"{name}:{port}" for name in (HOST, "localhost")}
        if self.headers.get("Host") not in ours:
            raise Refused(http.HTTPStatus.FORBIDDEN, f"The page is at {self.server.url} alone.")
        origin = self.headers.get("Origin")
        if origin is not None and origin not in {f"http://{name}" for name in ours}:
            raise Refused(http.HTTPStatus.FORBIDDEN, "Another web site may not ask here.")

    def refuse(self, refused: Refused) -> None:
        """Send the reason and close the connection: the body may be unread."""
        self.close_connection = True
        self.send_json(refused.status, {"error": str(refused)})

    def send_json(self, status: http.HTTPStatus, value: Any) -> None:
        """Send JSON."""
        self.send(status, "application/json", json.dumps(value).encode())

    def send(
        self,
        status: http.HTTPStatus,
        kind: str,
        body: bytes,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Send a whole reply."""
        self.send_response(status)
        always = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        if self.close_connection:
            always["Connection"] = "close"
        for name, value in (always | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing: questions are private."""

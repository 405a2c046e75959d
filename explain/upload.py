"""Reading an uploaded image from a request, within limits on its size and time."""

import http
import time
from collections.abc import Iterator
from email.message import Message
from io import BufferedIOBase

DRAIN_FACTOR = 4  # times the limit: so much of a body that is too large is read and dropped
MAX_LENGTH_DIGITS = 15  # of a Content-Length, whatever the limit is
CHUNK = 1 << 16
BODY_SECONDS = 120  # within which a whole body must arrive


class Refused(Exception):
    """A request that is refused: the HTTP status and one sentence why."""

    def __init__(self, status: http.HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def read_body(stream: BufferedIOBase, headers: Message, limit: int) -> bytes:
    """The body of a request, of at most ``limit`` bytes.

    Raises ``Refused``, for a body that is too large before it is read, and ``TimeoutError`` for a
    client that is too slow.
    """
    n_bytes = content_length(headers, limit)
    if n_bytes > limit:
        for _ in read_chunks(stream, min(n_bytes, DRAIN_FACTOR * limit)):
            pass  # a client that is still sending would never see the reply
        raise too_large(f"The file has {n_bytes / 1e6:,.1f} MB", limit)
    data = b"".join(read_chunks(stream, n_bytes))
    if len(data) < n_bytes:
        raise Refused(http.HTTPStatus.BAD_REQUEST, "The image was cut off on its way.")
    return data


def content_length(headers: Message, limit: int) -> int:
    """The length that the request declares; raises ``Refused`` for one that is no length."""
    length = headers.get("Content-Length", "")
    if headers.get("Transfer-Encoding") or not (length.isascii() and length.isdecimal()):
        raise Refused(http.HTTPStatus.LENGTH_REQUIRED, "The request does not say its length.")
    if len(length) > MAX_LENGTH_DIGITS:  # Python converts no more than 4,300 digits
        raise too_large(f"The Content-Length has {len(length):,} digits", limit)
    return int(length)


def too_large(fact: str, limit: int) -> Refused:
    """The refusal of a body beyond the limit."""
    return Refused(
        http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"{fact}; at most {limit / 1e6:.0f} MB are accepted, so shrink the photo first.",
    )


def read_chunks(stream: BufferedIOBase, n_bytes: int) -> Iterator[bytes]:
    """Up to so many bytes, as they arrive; raises ``TimeoutError`` after ``BODY_SECONDS``."""
    end = time.monotonic() + BODY_SECONDS
    while n_bytes > 0:
        chunk = stream.read1(min(CHUNK, n_bytes))
        if not chunk:
            return
        if time.monotonic() > end:
            raise TimeoutError
        n_bytes -= len(chunk)
        yield chunk

"""One file from a web server that is not trusted: so many bytes, so much time, no other protocol."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

SECONDS = 120.0  # that the whole download may take
SILENCE = 20.0  # seconds without a byte
CHUNK = 1 << 16
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def is_web(address: str) -> bool:
    """Whether an address is one to download from: https://, and http:// on this machine only."""
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def download(address: str, file: Path, limit: int, seconds: float = SECONDS) -> None:
    """Writes what an address answers into `file`, at most `limit` bytes. ValueError with one sentence; what
    was written by then stays in `file`."""
    end = time.monotonic() + seconds
    opener = urllib.request.build_opener(_Redirects())
    request = urllib.request.Request(address, headers={"Accept-Encoding": "identity", "User-Agent": "webui"})
    try:
        with opener.open(request, timeout=SILENCE) as answer, file.open("wb") as kept:
            _copy(answer, kept, limit, end)
    except urllib.error.HTTPError as error:
        error.close()
        raise ValueError(f"The server answered with status {error.code}.") from None
    except TimeoutError:
        raise ValueError(f"The server did not answer within {SILENCE:g} s.") from None
    except urllib.error.URLError as error:
        raise ValueError(f"The server cannot be reached: {_reason(error.reason)}.") from None
    except (HTTPException, ConnectionError) as error:
        raise ValueError(f"The download broke off: {_reason(error)}.") from None


def _copy(answer: Any, kept: IO[bytes], limit: int, end: float) -> None:
    """The body of an answer. ValueError if it is too long, too slow, or shorter than announced."""
    room = limit
    while chunk := answer.read1(min(CHUNK, room + 1)):  # read1: what is there, however little
        room -= len(chunk)
        if room < 0:
            raise ValueError(f"The archive has more than {limit >> 20} MB.")
        if time.monotonic() > end:
            raise ValueError("The download takes too long.")
        kept.write(chunk)
    if answer.length:  # bytes that were announced and did not come
        raise ValueError("The download broke off: it is shorter than announced.")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to https only; from this machine also to itself."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        before, after = urlsplit(req.full_url), urlsplit(newurl)
        at_home = before.hostname in LOOPBACK and after.hostname in LOOPBACK
        if not (after.scheme == "https" or (at_home and after.scheme == "http")):
            raise ValueError("The server sends on to an address that is not https://.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _reason(error: object) -> str:
    """Why, in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0][:200].rstrip(".")

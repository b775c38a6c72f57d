"""What is logged, and in which form: one line a request, on standard error.

Nothing a client keeps secret is written: no header, no query string, no body, no e-mail.
"""

import logging
import sys
import time
from dataclasses import dataclass

REQUESTS = "userauth.requests"
SERVER = "userauth"


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """What is told of one request."""

    method: str
    path: str
    status: int
    milliseconds: float
    request_id: str
    user_id: str | None


def configure_logging() -> None:
    """Send everything to standard error, a line each, with the time in UTC."""
    formatter = _Formatter("%(asctime)s %(levelname)s %(message)s")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Tornado tells of malformed requests at INFO, and quotes them.
    logging.getLogger("tornado.general").setLevel(logging.WARNING)


def log_request(record: RequestRecord) -> None:
    """Write the line of one request."""
    logging.getLogger(REQUESTS).info(
        "%s %s %d %.1fms request=%s user=%s",
        record.method,
        _printable(record.path),
        record.status,
        record.milliseconds,
        record.request_id,
        record.user_id or "-",
    )


def log_failure(request_id: str, error: BaseException) -> None:
    """Write what the server could not do for a request, with the trace."""
    logging.getLogger(SERVER).error("request=%s failed", request_id, exc_info=error)


def log_refusal(request_id: str, title: str, cause: BaseException | None) -> None:
    """Write why a request was refused for a reason that is not the client's."""
    logging.getLogger(SERVER).warning("request=%s %s (%s)", request_id, title, cause or "-")


class _Formatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


def _printable(text: str) -> str:
    """Return text in which nothing can break or forge a line."""
    return text.encode("unicode_escape").decode("ascii").replace(" ", "%20")

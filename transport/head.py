"""The head of a request: a request line by its grammar, and fields by llhttp."""

import re
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from tornado.httputil import HTTPHeaders, RequestStartLine

from rules.errors import (
    MalformedRequest,
    Problem,
    TooManyHeaderFields,
    UnsupportedCoding,
    UnsupportedVersion,
)

MAX_BYTES = 16 * 1024
MAX_FIELDS = 100
MAX_PARAMETERS = 100
# The request line, and the empty line at the end.
_OTHER_LINES = 2
# RFC 9112, section 3; the target is not restricted further: an unknown path gets 404.
_METHOD_AND_TARGET = rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+)"
_REQUEST_LINE = re.compile(_METHOD_AND_TARGET + rb" HTTP/([0-9]\.[0-9])\r\n")
# The first part of a request line that is too long to be received whole, or all but its end.
_LONG_LINE = re.compile(_METHOD_AND_TARGET + rb"(?: [HTP]{0,4}/?[0-9.]{0,3}\r?)?")
# llhttp reads this line instead, since it knows only some methods and forms of targets.
_ANY_LINE = b"GET / HTTP/1.1\r\n"
# A higher minor version is served as the highest known one (RFC 9110, section 2.5).
_VERSIONS = {b"1.0": "HTTP/1.0"} | {b"1.%d" % minor: "HTTP/1.1" for minor in range(1, 10)}
# A name or an IP address, and a port (RFC 3986, section 3.2.2); a comma would join two hosts. The
# port is read as a number, and Python reads no number of more than 4,300 digits.
_HOST = re.compile(
    r"(?:(?:[-A-Za-z0-9._~!$&'()*+;=]|%[0-9A-Fa-f]{2})*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?"
)
# A domain name has at most 253 characters. Hosts are cached, here and in transport/request.py.
_MAX_HOST_LENGTH = 255 + len(":65535")
_LENGTH = re.compile(rb"^Content-Length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE | re.MULTILINE)
# Longer lengths exceed every limit, and need not be read as numbers.
_MAX_LENGTH_DIGITS = 15


class Head(NamedTuple):
    """A valid head; ``length`` is the length of the body in bytes, None if it is chunked."""

    start_line: RequestStartLine
    fields: HTTPHeaders
    length: int | None
    keeps_open: bool

    @property
    def expects_continue(self) -> bool:
        """Return whether the client waits for permission to send its body."""
        expected = self.fields.get("Expect")
        return (
            expected is not None
            and expected.lower() == "100-continue"
            and self.start_line.version == "HTTP/1.1"
        )


class _Fields:
    """The fields of a head, as llhttp reports them."""

    __slots__ = ("are_complete", "found")

    def __init__(self) -> None:
        self.found = HTTPHeaders()
        self.are_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        text = name.decode("latin-1")
        content = value.strip(b" \t").decode("latin-1")
        if text in self.found:
            self.found.add(text, content)
        else:
            self.found[text] = content  # without the checks of add(), which are llhttp's

    def on_headers_complete(self) -> None:
        self.are_complete = True


def parse_head(data: bytes) -> Head | None:
    """Return the head in ``data``, which contains nothing else; None if it has no request line.

    Raises Problem if HTTP/1.1 forbids the head, or it exceeds a limit.
    """
    line = _REQUEST_LINE.match(data)
    if line is None:
        return None
    method, target, version = line.groups()
    if version not in _VERSIONS:
        raise UnsupportedVersion
    if data.count(b"\n") > MAX_FIELDS + _OTHER_LINES:
        raise TooManyHeaderFields(MAX_FIELDS)
    if target.count(b"&") >= MAX_PARAMETERS:
        raise MalformedRequest(f"Send at most {MAX_PARAMETERS} query parameters.")
    start_line = RequestStartLine(
        method.decode("ascii"), target.decode("latin-1"), _VERSIONS[version]
    )
    fields = _parse_fields(data[line.end() :])
    _check_host(start_line.version, fields)
    return Head(
        start_line,
        fields,
        _body_length(start_line.version, fields),
        _keeps_open(start_line.version, fields),
    )


def find_start_line(data: bytes) -> RequestStartLine | None:
    """Return the request line of a rejected head, which may be incomplete; None if it has none."""
    line = _REQUEST_LINE.match(data)
    version = "HTTP/1.1" if line is None else _VERSIONS.get(line[3], "HTTP/1.1")
    line = line or _LONG_LINE.fullmatch(data)
    if line is None:
        return None
    return RequestStartLine(line[1].decode("ascii"), line[2].decode("latin-1"), version)


def without_query(line: RequestStartLine) -> RequestStartLine:
    """Return a request line without its query, which may be long, and need not be parsed."""
    return RequestStartLine(line.method, line.path.partition("?")[0] or "/", line.version)


def without_content(fields: HTTPHeaders | None) -> HTTPHeaders:
    """Return what remains of the fields of a rejected request: the id that the caller chose."""
    remaining = HTTPHeaders({"Host": "x"})
    if fields is not None and "X-Request-ID" in fields:
        remaining["X-Request-ID"] = fields["X-Request-ID"]
    return remaining


def _parse_fields(lines: bytes) -> HTTPHeaders:
    try:
        return _read(lines)
    except HttpParserError:
        shortened = _with_short_length(lines)
    if shortened is None:
        raise MalformedRequest
    try:
        return _read(shortened)
    except HttpParserError:
        raise MalformedRequest from None


def _read(lines: bytes) -> HTTPHeaders:
    """Return the fields, read by a new parser: no state of another request can remain."""
    fields = _Fields()
    # A request to change the protocol is served like any other (RFC 9110, section 7.8).
    with suppress(HttpParserUpgrade):
        HttpRequestParser(fields).feed_data(_ANY_LINE + lines)
    if not fields.are_complete:
        raise HttpParserError
    return fields.found


def _with_short_length(lines: bytes) -> bytes | None:
    """Return the lines with a shorter Content-Length; None if its length is not the problem.

    llhttp rejects a length that does not fit into an integer, although it is well-formed: it must
    be reported as too large. Several lengths are rejected even if they are equal, in one field or
    more, as a recipient may do (RFC 9110, section 8.6).
    """
    lengths = _LENGTH.findall(lines)
    if len(lengths) != 1 or len(lengths[0]) <= _MAX_LENGTH_DIGITS:
        return None
    length = lengths[0].lstrip(b"0")[:_MAX_LENGTH_DIGITS] or b"0"
    return _LENGTH.sub(b"Content-Length: " + length + b"\r\n", lines)


def _check_host(version: str, fields: HTTPHeaders) -> None:
    """Raise MalformedRequest unless there is one valid Host (RFC 9112, section 3.2)."""
    hosts = fields.get_list("Host")
    if not hosts and version == "HTTP/1.0":
        return
    if len(hosts) != 1 or len(hosts[0]) > _MAX_HOST_LENGTH or not _is_host(hosts[0]):
        raise MalformedRequest("Send one Host header field, with the host of the URL.")


@lru_cache(maxsize=1_000)
def _is_host(text: str) -> bool:
    return _HOST.fullmatch(text) is not None


def _body_length(version: str, fields: HTTPHeaders) -> int | None:
    """Return the length of the body; None if it is chunked (RFC 9112, section 6.3)."""
    if "Transfer-Encoding" in fields:
        if version == "HTTP/1.0" or "Content-Length" in fields:
            raise MalformedRequest
        if fields["Transfer-Encoding"].lower() != "chunked":
            raise _coding_problem(fields["Transfer-Encoding"].lower())
        return None
    if "Content-Length" not in fields:
        return 0
    length = fields["Content-Length"]
    if not (length.isascii() and length.isdigit()):
        raise MalformedRequest
    digits = length.lstrip("0") or "0"
    return int(digits[:_MAX_LENGTH_DIGITS])


def _coding_problem(codings: str) -> Problem:
    """Return why the body cannot be read; empty codings are ignored, and chunked may occur once."""
    names = _elements(codings)
    if "" in names or names.count("chunked") > 1:
        return MalformedRequest()
    return UnsupportedCoding()


def _keeps_open(version: str, fields: HTTPHeaders) -> bool:
    """Return whether the client allows the connection to stay open (RFC 9112, section 9.3)."""
    if "Connection" not in fields:
        return version == "HTTP/1.1"
    options = fields["Connection"].lower()
    if version != "HTTP/1.1":
        return options == "keep-alive"
    return "close" not in options or "close" not in _elements(options)


def _elements(text: str) -> list[str]:
    return [element.strip(" \t") for element in text.split(",")]

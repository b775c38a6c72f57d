"""Requests whose end two servers could see at different places, each followed by a hidden one."""

from collections.abc import Mapping

from tests.harness.raw_http import JSON, chunked, raw_request

PATH = "/api/user/register"
HIDDEN_EMAIL = "hidden@example.com"
_HIDDEN_BODY = f'{{"email": "{HIDDEN_EMAIL}", "password": "correct horse battery"}}'.encode()
HIDDEN = raw_request("POST", PATH, JSON, body=_HIDDEN_BODY)
_CHUNKED = "Transfer-Encoding: chunked"
_LENGTH = f"Content-Length: {len(HIDDEN)}"
_LAST_CHUNK = b"0\r\n\r\n"


def _post(*fields: str, body: bytes = b"", version: str = "HTTP/1.1") -> bytes:
    return raw_request("POST", PATH, JSON, *fields, body=body, version=version)


def _with_line(line: bytes, body: bytes = _LAST_CHUNK + HIDDEN) -> bytes:
    """Return a request with a line that a header cannot have as text."""
    return _post("X-Line: x", "Content-Length: 0").replace(b"X-Line: x\r\n", line) + body


def _chunks(body: bytes) -> bytes:
    return _post(_CHUNKED, body=body + HIDDEN)


CASES: Mapping[str, bytes] = {
    # The length and the coding contradict each other.
    "CL.TE": _post(f"Content-Length: {len(_LAST_CHUNK) + len(HIDDEN)}", _CHUNKED)
    + _LAST_CHUNK
    + HIDDEN,
    "TE.CL": _post(_CHUNKED, "Content-Length: 4")
    + b"%x\r\n" % len(HIDDEN)
    + HIDDEN
    + b"\r\n0\r\n\r\n",
    "CL.CL": _post("Content-Length: 0", _LENGTH) + HIDDEN,
    "CL, CL in one field": _post(f"Content-Length: 0, {len(HIDDEN)}") + HIDDEN,
    "the same CL.CL": _post(_LENGTH, _LENGTH) + HIDDEN + HIDDEN,
    "the same CL, CL in one field": _post(f"{_LENGTH}, {len(HIDDEN)}") + HIDDEN + HIDDEN,
    "CL.0 on GET": raw_request("GET", "/api/user", _LENGTH) + HIDDEN,
    "TE twice": _post(_CHUNKED, "Transfer-Encoding: identity") + _LAST_CHUNK + HIDDEN,
    "TE with another coding first": _post("Transfer-Encoding: gzip, chunked")
    + _LAST_CHUNK
    + HIDDEN,
    "TE with another coding last": _post("Transfer-Encoding: chunked, gzip") + _LAST_CHUNK + HIDDEN,
    "TE with an empty coding first": _post("Transfer-Encoding: ,chunked") + _LAST_CHUNK + HIDDEN,
    "TE with an empty coding last": _post("Transfer-Encoding: chunked,") + _LAST_CHUNK + HIDDEN,
    "TE twice in one field": _post("Transfer-Encoding: chunked, chunked") + _LAST_CHUNK + HIDDEN,
    "TE misspelled": _post("Transfer-Encoding: xchunked", _LENGTH) + HIDDEN,
    "TE in quotes": _post('Transfer-Encoding: "chunked"') + _LAST_CHUNK + HIDDEN,
    "TE with a parameter": _post("Transfer-Encoding: chunked;q=1") + _LAST_CHUNK + HIDDEN,
    "TE with a tab": _post("Transfer-Encoding:\tchunked") + _LAST_CHUNK + HIDDEN,
    "TE with a vertical tab": _post("Transfer-Encoding: \x0bchunked") + _LAST_CHUNK + HIDDEN,
    "TE in HTTP/1.0": _post(_CHUNKED, version="HTTP/1.0") + _LAST_CHUNK + HIDDEN,
    "TE with an underscore": _post("Transfer_Encoding: chunked") + _LAST_CHUNK + HIDDEN,
    "a space before the colon": _with_line(b"Transfer-Encoding : chunked\r\n"),
    # Lines.
    "a folded field": _with_line(b"X: y\r\n Transfer-Encoding: chunked\r\n"),
    "a folded coding": _with_line(b"Transfer-Encoding:\r\n chunked\r\n"),
    "a first line that is folded": raw_request("POST", PATH).replace(b"Host", b" Host", 1) + HIDDEN,
    "a bare LF": _with_line(b"X: y\nTransfer-Encoding: chunked\r\n"),
    "a bare CR": _with_line(b"X: y\rTransfer-Encoding: chunked\r\n"),
    "a head that ends with bare LF": b"GET / HTTP/1.1\nHost: localhost\n\n" + HIDDEN,
    "NUL in a value": _with_line(b"Transfer-Encoding: chunked\0\r\n"),
    "NUL in a name": _with_line(b"Transfer\0-Encoding: chunked\r\n"),
    "a field without a name": _with_line(b": chunked\r\n"),
    "a field without a colon": _with_line(b"chunked\r\n"),
    # Sizes.
    "a length with a sign": _post(f"Content-Length: +{len(HIDDEN)}") + HIDDEN,
    "a negative length": _post("Content-Length: -1") + HIDDEN,
    "a hexadecimal length": _post("Content-Length: 0x10") + HIDDEN,
    "an empty length": _post("Content-Length:") + HIDDEN,
    "a length over 64 bits": _post(f"Content-Length: {2**64 + len(HIDDEN)}") + HIDDEN,
    "a chunk with a sign": _chunks(b"+0\r\n\r\n"),
    "a negative chunk": _chunks(b"-1\r\n\r\n"),
    "a chunk in 0x": _chunks(b"0x0\r\n\r\n"),
    "a chunk over 64 bits": _chunks(b"10000000000000000\r\n\r\n"),
    "a chunk of no digits": _chunks(b"\r\n\r\n"),
    "a chunk with a space": _chunks(b"0 \r\n\r\n"),
    "a chunk with bare LF": _chunks(b"0\n\n"),
    "a chunk longer than its size": _chunks(b"1\r\nab\r\n0\r\n\r\n"),
    "a chunk with an extension": _chunks(b"0;x=y\r\n\r\n"),
    "a chunk with bare LF in an extension": _chunks(b"0;x\nabc\r\n\r\n"),
    "a chunk with bare CR in an extension": _chunks(b"0;x\rabc\r\n\r\n"),
    "a trailer that is a length": _chunks(b"0\r\nContent-Length: 9\r\n\r\n"),
    "a trailer without a colon": _chunks(b"0\r\nX\r\n\r\n"),
    # Targets and hosts.
    "two hosts": _post("Host: other.example.com", "Content-Length: 0") + HIDDEN,
    "a host with a comma": raw_request("GET", "/", "X: y").replace(b"example.com", b"a,b") + HIDDEN,
    "a target in the absolute form": raw_request("GET", f"http://other.example.com{PATH}") + HIDDEN,
    "a target with a space": raw_request("GET", f"{PATH} x") + HIDDEN,
    "CONNECT": raw_request("CONNECT", "example.com:443") + HIDDEN,
    "an upgrade": _post("Connection: upgrade", "Upgrade: websocket", _LENGTH) + HIDDEN,
    "an upgrade with chunks": _post("Connection: upgrade", "Upgrade: h2c", _CHUNKED)
    + chunked(HIDDEN),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN,
    "HTTP/1.2": raw_request("GET", PATH, version="HTTP/1.2") + HIDDEN,
    "HTTP/2.1": raw_request("GET", PATH, version="HTTP/2.1") + HIDDEN,
}

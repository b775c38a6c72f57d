"""Hostile requests: headers, queries, paths and bodies that are slow to parse within the limits."""

import base64
import json
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from contract.calls import Call
from contract.forms import Form, NoFields, UrlEncodedForm

HEAD_BYTES = 15_500
BODY_BYTES = 64 * 1024
ONE_CLASS = "\u0301"
TWO_CLASSES = "\u0301\u0316"
# A letter by its class, and two marks by its decomposition; eighteen letters.
MADE_OF_MARKS = "\u0f73"
LIGATURE = "\ufdfa"

Inputs = Mapping[str, bytes]


def filled(begin: str, repeated: str, size: int) -> str:
    """Return a prefix and as many repetitions of a text as fit into a number of bytes."""
    return begin + repeated * ((size - len(begin.encode())) // len(repeated.encode()))


def texts(size: int) -> Iterator[tuple[str, str]]:
    """Yield texts of a number of bytes that are slow to normalize, to match, or to parse."""
    for name, begin, repeated in (
        ("letters", "", "a"),
        ("marks", "a", ONE_CLASS),
        ("marks of two classes in halves", "a" + ONE_CLASS * (size // 4), "\u0316"),
        ("marks of two classes in turn", "a", TWO_CLASSES),
        ("marks on each letter", "", "a" + TWO_CLASSES * 15),
        ("letters made of marks", "a", MADE_OF_MARKS),
        ("ligatures", "", LIGATURE),
        ("syllables", "", "\u1112\u1161\u11ab"),
        ("white space", "", "\u3000"),
        ("digits", "", "9"),
        ("an address of marks", "", "a\u0301"),
        ("a local part", "a@", "b."),
        ("a domain of digits", "a@", "\u0661"),
        ("a domain of umlauts", "a@", "ä."),
        ("at signs", "", "@"),
        ("quotes", '"', '\\"'),
        ("brackets", "a@[", ":"),
        ("angles", "", "<"),
        ("dots", "", "0."),
        ("joiners", "", "\u200d"),
    ):
        yield name, filled(begin, repeated, size)
    # As long as the rules accept.
    yield "an address as long as allowed", filled("a@", "\u0661", 254)
    yield "marks as many as allowed", ("a" + TWO_CLASSES * 15) * 132
    yield "ligatures as many as allowed", LIGATURE * 1024
    yield "own words", "susan@example.com" * 60


def _basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def heads() -> dict[str, list[str]]:
    """Return headers that are slow to parse."""
    long = HEAD_BYTES
    found = {
        f"Basic, {part}, {name}": [f"Authorization: {_basic(form % text)}"]
        for name, text in texts(long * 3 // 4 - 40)
        for part, form in (("password", "susan@example.com:%s"), ("user", "%s:password"))
    }
    for name, field, begin, repeated in (
        ("a long token", "Authorization", "Bearer ", "a"),
        ("a token of dots", "Authorization", "Bearer ", "a."),
        ("Basic of dots", "Authorization", "Basic ", "a."),
        ("Basic of nothing", "Authorization", "Basic ", "="),
        ("a long scheme", "Authorization", "", "a"),
        ("a long cookie", "Cookie", "", "a"),
        ("many cookies", "Cookie", "", "a=b; "),
        ("many addresses", "X-Forwarded-For", "", "127.0.0.1,"),
        ("many long addresses", "X-Forwarded-For", "", "::ffff:127.0.0.1,"),
        ("many commas", "X-Forwarded-For", "", ","),
        ("brackets", "X-Forwarded-For", "", "["),
        ("many schemes", "X-Forwarded-Proto", "", "https,"),
        ("a long trace", "Traceparent", "01-" + "a" * 32 + "-" + "b" * 16 + "-01-", "a-"),
        ("many media types", "Accept", "", "a/b;q=0.1,"),
        ("many tags", "If-None-Match", "", '"a",'),
        ("weak tags", "If-None-Match", "", "W/"),
        ("half of a tag", "If-None-Match", "", 'W/"'),
        ("a browser in latin-1", "User-Agent", "", "\xe9"),
        ("a request id", "X-Request-ID", "", "0"),
        ("a media type", "Content-Type", "", "a;"),
        ("a length", "Content-Length", "", "9"),
        ("many lengths", "Content-Length", "", "0,"),
        ("codings", "Transfer-Encoding", "", "chunked,"),
        ("expectations", "Expect", "", "100-continue,"),
        ("a host of colons", "Host", "", ":"),
        ("a host of percents", "Host", "", "%41"),
        ("an origin", "Origin", "https://", "a."),
        ("options", "Connection", "", "close,"),
    ):
        found[name] = [f"{field}: {filled(begin, repeated, long)}"]
    found["many fields"] = ["a:"] * (long // 4)
    found["fields of many names"] = [f"x{number}:" for number in range(1_700)]
    found["a field many times"] = ["X-Forwarded-For: ::1"] * (long // 22)
    found["as many fields as allowed"] = [f"X{n}: {'y' * 140}" for n in range(95)]
    return found


def queries(call: Call) -> dict[str, str]:
    """Return queries that are slow to parse, with known and unknown parameters."""
    long = HEAD_BYTES
    found = {
        "many parameters": "a&" * (long // 2),
        "many values": "a=b&" * (long // 4),
        "ampersands": "&" * long,
        "equals": "=" * long,
        "percents": "%" * long,
        "escapes": "%41" * (long // 3),
        "as many as allowed": "&".join(f"{n}={'%41' * 50}" for n in range(95)),
    }
    for parameter in call.query:
        for name, text in texts(long // 9):
            found[f"{parameter.name}, {name}"] = f"{parameter.name}={quote(text)}"
        found[f"{parameter.name}, digits"] = f"{parameter.name}={'9' * long}"
        found[f"{parameter.name}, many times"] = "&".join([f"{parameter.name}=1"] * 99)
    return found


def paths() -> dict[str, str]:
    """Return path segments that are slow to parse."""
    long = HEAD_BYTES
    return {
        name: filled("", repeated, long)
        for name, repeated in (
            ("hexadecimal", "0"),
            ("groups", "0-"),
            ("escapes", "%41"),
            ("half a token", "0" * 36 + "." + "9" * 36),
            ("credentials", ":"),
            ("at signs", ":@"),
            ("latin-1", "%e9"),
        )
    }


def bodies(form: type[Form]) -> Inputs:
    """Return bodies that are slow to parse, for a form and each of its fields."""
    if issubclass(form, UrlEncodedForm):
        return _urlencoded(form)
    found = dict(_json_bodies())
    for field in form.model_fields:
        for name, text in texts(BODY_BYTES - 100):
            found[f"{field}, {name}"] = _with(form, field, text)
        for name, text in texts(BODY_BYTES // 12):
            found[f"{field}, escaped, {name}"] = json.dumps(_members(form, field, text)).encode()
    return found


def _json_bodies() -> Iterator[tuple[str, bytes]]:
    size = BODY_BYTES - 100
    yield "deep arrays", b'{"name":' + b"[" * (size // 2) + b"]" * (size // 2) + b"}"
    yield "deep objects", b'{"a":' * (size // 6) + b"1" + b"}" * (size // 6)
    yield "never closed", b"[" * size
    yield "many members", b"{" + b",".join(b'"%x":0' % n for n in range(7_000)) + b"}"
    yield "one member many times", b"{" + b",".join([b'"email":""'] * (size // 11)) + b"}"
    yield "long members", b"{" + b",".join(b'"%0600d":0' % n for n in range(100)) + b"}"
    yield "many numbers", b'{"email":[' + b"1," * (size // 2 - 10) + b"1]}"
    yield "many objects", b'{"email":[' + b"{}," * (size // 3 - 10) + b"1]}"
    yield "a long number", b'{"email":' + b"9" * size + b"}"
    yield "a long fraction", b'{"email":0.' + b"9" * size + b"}"
    yield "a long exponent", b'{"email":1e' + b"9" * size + b"}"
    yield "white space", b" " * size + b"{}"
    yield "backslashes", b'{"email":"' + b"\\\\" * (size // 2 - 10) + b'"}'


def _members(form: type[Form], field: str, text: str) -> dict[str, str]:
    """Return the members of a body in which only one is hostile."""
    usual = {"email": "susan@example.com", "password": "correct horse battery", "name": "Susan"}
    return {name: usual.get(name, "") for name in form.model_fields if name != field} | {
        field: text
    }


def _with(form: type[Form], field: str, text: str) -> bytes:
    return json.dumps(_members(form, field, text), ensure_ascii=False).encode()[:BODY_BYTES]


def _urlencoded(form: type[Form]) -> Inputs:
    size = BODY_BYTES - 100
    found = {
        "ampersands": b"&" * size,
        "many parameters": b"a&" * (size // 2),
        "many values": b"a=b&" * (size // 4),
        "equals": b"=" * size,
        "percents": b"%" * size,
        "plus signs": b"a=" + b"+" * size,
    }
    for field in form.model_fields:
        prefix = field.encode() + b"="
        for name, text in texts(size):
            found[f"{field}, {name}"] = prefix + text.encode()
        found[f"{field}, escapes"] = prefix + b"%41" * (size // 3)
        found[f"{field}, escapes between"] = prefix + "ä%41".encode() * (size // 5)
    return found


def media_type(form: type[Form]) -> str:
    """Return the Content-Type header of a body."""
    return f"Content-Type: {'application/json' if form is NoFields else form.media_type}"

"""Bodies: 400 if not a JSON object, 422 if one with invalid fields."""

import json

import pytest

from tests.harness.api import PASSWORD, Answer, Api, basic, bearer, rejected_fields
from tests.harness.raw_http import JSON, answer_to, raw_request
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
REGISTER = "/api/user/register"
VALID = json.dumps({"email": EMAIL, "password": PASSWORD}).encode()
BOM = b"\xef\xbb\xbf"
JSON_TYPE = {"Content-Type": "application/json"}


def with_name(value: str) -> bytes:
    """Return a registration that is valid except for the JSON text of its name."""
    return VALID[:-1] + f', "name": {value}}}'.encode()


NOT_JSON = {
    "empty": b"",
    "white space": b" \r\n\t",
    "words": b"email=susan",
    "not utf-8": with_name('"x"').replace(b"x", b"\xff"),
    "latin-1": with_name('"Zoë"').decode().encode("latin1"),
    "overlong utf-8": with_name('"x"').replace(b"x", b"\xc0\xaf"),
    "a surrogate in utf-8": with_name('"x"').replace(b"x", b"\xed\xa0\x80"),
    "two byte order marks": BOM + BOM + VALID,
    "a byte order mark in the middle": VALID[:1] + BOM + VALID[1:],
    "a field twice": with_name('"x", "name": "y"'),
    "a field twice with the same value": with_name('"x", "name": "x"'),
    "a field twice in two spellings": with_name('"x", "n\\u0061me": "y"'),
    "an unknown field twice": with_name('"x", "role": 1, "role": 2'),
    "a field twice further inside": with_name('[{"a": 1, "a": 2}]'),
    "utf-16": VALID.decode().encode("utf-16"),
    "utf-32": VALID.decode().encode("utf-32-le"),
    "a high surrogate": with_name(r'"\ud83d"'),
    "a low surrogate": with_name(r'"\ude00"'),
    "two high surrogates": with_name(r'"\ud83d\ud83d"'),
    "surrogates in the wrong order": with_name(r'"\ude00\ud83d"'),
    "a surrogate in a field's name": rb'{"\ud83d": 1}',
    "NaN": with_name("NaN"),
    "Infinity": with_name("Infinity"),
    "-Infinity": with_name("-Infinity"),
    "deep arrays": with_name("[" * 10_000 + "]" * 10_000),
    "deep objects": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "deep and never closed": b"[" * 60_000,
    "array": b"[" + VALID + b"]",
    "empty array": b"[]",
    "string": b'"susan"',
    "number": b"1",
    "null": b"null",
    "true": b"true",
    "trailing words": VALID + b" x",
    "a second object": VALID + VALID,
    "a trailing NUL": VALID + b"\x00",
    "a trailing comma": VALID[:-1] + b",}",
    "a comment": b"/* */" + VALID,
    "single quotes": VALID.replace(b'"', b"'"),
    "a raw line break in a string": with_name('"a\nb"'),
    "a bad escape": with_name(r'"\x41"'),
    "a number with a leading zero": with_name("01"),
    "cut off": VALID[:-5],
}
# What is true of a body that is rejected although it is JSON, or empty.
DETAILS = {
    b"": "Send a body that is not empty: a JSON object in UTF-8.",
    VALID[:-5]: "Send a body that is valid JSON in UTF-8.",
    with_name('"x", "name": "y"'): "Send each field of a JSON object once.",
    with_name("[" * 250 + "]" * 250): "Send JSON that is nested less deeply.",
    with_name('{"a": ' * 250 + "1" + "}" * 250): "Send JSON that is nested less deeply.",
    with_name("9" * 4_301): "Send numbers with fewer digits.",
    with_name("-" + "9" * 4_301): "Send numbers with fewer digits.",
    with_name(r'"\ude00"'): "Send text without lone surrogates.",
    with_name(r'"\ud83d"'): "Send text without lone surrogates.",
    with_name(r'"\ud83dx"'): "Send text without lone surrogates.",
    b"[]": "Send a body that is a JSON object.",
}


def outcome(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.problem


@pytest.mark.gen_test
async def test_a_body_that_is_not_a_json_object_is_400(api: Api, dsn: str) -> None:
    outcomes = {
        name: outcome(await api.request("POST", REGISTER, body=body, headers=JSON_TYPE))
        for name, body in NOT_JSON.items()
    }
    assert outcomes == dict.fromkeys(NOT_JSON, (400, "malformed-request"))
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize("body", DETAILS, ids=DETAILS.values())
@pytest.mark.gen_test
async def test_the_detail_says_why_a_body_is_rejected_and_denies_no_valid_json(
    api: Api, body: bytes
) -> None:
    answer = await api.request("POST", REGISTER, body=body, headers=JSON_TYPE)
    assert (answer.status, answer.json["detail"]) == (400, DETAILS[body])


@pytest.mark.gen_test
async def test_a_change_whose_body_is_not_a_json_object_is_400(api: Api) -> None:
    authorization = bearer(await api.registered_token())
    outcomes = {
        name: outcome(
            await api.request(
                "PATCH", "/api/user", authorization=authorization, body=body, headers=JSON_TYPE
            )
        )
        for name, body in NOT_JSON.items()
    }
    assert outcomes == dict.fromkeys(NOT_JSON, (400, "malformed-request"))


@pytest.mark.parametrize(
    "body",
    [
        b" \r\n\t" + VALID + b"\r\n ",
        with_name(r'"\ud83d\ude00"'),
        with_name('"\\u0053usan"'),
        VALID.replace(b'"email"', b'"\\u0065mail"'),
        BOM + VALID,
        BOM + b" " + VALID,
    ],
)
@pytest.mark.gen_test
async def test_json_is_accepted_in_any_valid_spelling(api: Api, body: bytes) -> None:
    answer = await api.request("POST", REGISTER, body=body, headers=JSON_TYPE)
    assert answer.status == 201


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({}, ["email", "password"]),
        ({"email": EMAIL}, ["password"]),
        ({"password": PASSWORD}, ["email"]),
        ({"email": EMAIL, "password": PASSWORD, "nickname": "Sue"}, ["nickname"]),
        ({"email": EMAIL, "password": PASSWORD, "Name": "Sue"}, ["Name"]),
        ({"email": EMAIL, "password": PASSWORD, "id": "1", "admin": True}, ["admin", "id"]),
        ({"email": EMAIL, "password": PASSWORD, "model_config": {}}, ["model_config"]),
        ({"Email": EMAIL, "PASSWORD": PASSWORD}, ["Email", "PASSWORD", "email", "password"]),
    ],
)
@pytest.mark.gen_test
async def test_missing_and_unknown_fields_are_422_and_named(
    api: Api, dsn: str, fields: object, refused: list[str]
) -> None:
    answer = await api.request("POST", REGISTER, json_body=fields)
    assert answer.problem == "invalid-fields"
    assert sorted(rejected_fields(answer)) == refused
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize("field", ["email", "password", "name"])
@pytest.mark.gen_test
async def test_a_value_of_the_wrong_type_is_422_and_never_coerced(api: Api, field: str) -> None:
    valid = {"email": f'"{EMAIL}"', "password": f'"{PASSWORD}"'}
    for value in ("5", "1.5", "1e999", "9" * 40, "true", "false", "[]", "{}", '["a"]'):
        fields = {**valid, field: value}
        body = "{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}"
        answer = await api.request("POST", REGISTER, body=body.encode(), headers=JSON_TYPE)
        assert rejected_fields(answer) == [field], value


@pytest.mark.parametrize("field", ["email", "password"])
@pytest.mark.gen_test
async def test_null_is_422_for_a_required_field(api: Api, field: str) -> None:
    fields = {"email": EMAIL, "password": PASSWORD, field: None}
    answer = await api.request("POST", REGISTER, json_body=fields)
    assert rejected_fields(answer) == [field]


@pytest.mark.gen_test
async def test_of_thousands_of_unknown_fields_few_are_reported(api: Api) -> None:
    answer = await api.request("POST", REGISTER, json_body={f"f{n}": n for n in range(4000)})
    assert 1 <= len(rejected_fields(answer)) <= 100
    assert len(answer.content) < 10_000


@pytest.mark.gen_test
async def test_a_very_long_field_name_is_truncated_in_the_error(api: Api) -> None:
    answer = await api.request("POST", REGISTER, json_body={"x" * 60_000: 1})
    assert answer.status == 422
    assert len(answer.content) < 10_000


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"; x=y',
        "APPLICATION/Json",
        "application/json ;a=b",
        "application/json;",
    ],
)
@pytest.mark.gen_test
async def test_the_json_media_type_is_accepted_with_parameters_and_in_any_case(
    api: Api, media_type: str
) -> None:
    headers = {"Content-Type": media_type}
    assert (await api.request("POST", REGISTER, body=VALID, headers=headers)).status == 201


NOT_SUPPORTED = [
    [],
    ["Content-Type:"],
    ["Content-Type: text/plain"],
    ["Content-Type: text/json"],
    ["Content-Type: application/jsonx"],
    ["Content-Type: application/problem+json"],
    ["Content-Type: application/x-www-form-urlencoded"],
    ["Content-Type: multipart/form-data; boundary=x"],
    ["Content-Type: multipart/form-data"],
    ["Content-Type: ; application/json"],
    ["Content-Type: text/plain", JSON],
    [JSON, "Content-Type: text/plain"],
    [JSON, "Content-Encoding: gzip"],
    [JSON, "Content-Encoding: deflate"],
    [JSON, "Content-Encoding: unheard-of"],
    [JSON, "Content-Encoding: identity, gzip"],
]


@pytest.mark.gen_test
async def test_a_body_of_another_type_or_encoding_is_415(api: Api, dsn: str) -> None:
    for headers in NOT_SUPPORTED:
        answer = await answer_to(api, raw_request("POST", REGISTER, *headers, body=VALID))
        assert outcome(answer) == (415, "unsupported-media-type"), headers
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize("value", ["identity", "IDENTITY", ""])
@pytest.mark.gen_test
async def test_a_body_with_the_coding_identity_is_read(api: Api, value: str) -> None:
    request = raw_request("POST", REGISTER, JSON, f"Content-Encoding: {value}", body=VALID)
    assert (await answer_to(api, request)).status == 201


CALLS_WITHOUT_FIELDS = [
    ("GET", "/api/user"),
    ("HEAD", "/api/user"),
    ("DELETE", "/api/user"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/api/user/login"),
    ("POST", "/api/user/login"),
]


WITH_CONTENT = [
    ("application/json", b'{"name": "Susan"}', 422),
    ("application/json", b"[]", 400),
    ("application/json", b"null", 400),
    ("application/json", b"susan", 400),
    ("text/plain", b"susan", 415),
    ("application/x-www-form-urlencoded", b"name=susan", 415),
]
WITHOUT_CONTENT = [("text/plain", b""), ("application/json", b"{}"), ("application/json", b" { } ")]


# POST /api/user/login accepts credentials in the body, and then none in Authorization.
@pytest.mark.parametrize("call", CALLS_WITHOUT_FIELDS[:-1])
@pytest.mark.gen_test
async def test_a_call_without_fields_refuses_a_body_with_content(
    api: Api, call: tuple[str, str]
) -> None:
    token = await api.registered_token()
    authorization = basic(EMAIL, PASSWORD) if call[1].endswith("login") else bearer(token)
    for media_type, body, status in WITH_CONTENT:
        answer = await api.request(
            *call, authorization=authorization, body=body, headers={"Content-Type": media_type}
        )
        assert answer.status == status, body


@pytest.mark.parametrize("call", CALLS_WITHOUT_FIELDS)
@pytest.mark.gen_test
async def test_a_call_without_fields_accepts_an_empty_body_or_object(
    api: Api, call: tuple[str, str]
) -> None:
    for media_type, body in WITHOUT_CONTENT:
        await api.register()
        authorization = basic(EMAIL, PASSWORD)
        answer = await api.request(
            *call, authorization=authorization, body=body, headers={"Content-Type": media_type}
        )
        assert answer.status == 200, body


@pytest.mark.parametrize(("method", "status"), [("GET", 422), ("POST", 400)])
@pytest.mark.gen_test
async def test_a_login_refused_for_its_body_issues_no_token(
    api: Api, dsn: str, method: str, status: int
) -> None:
    await api.register()
    authorization = basic(EMAIL, PASSWORD)
    answer = await api.request(
        method, "/api/user/login", authorization=authorization, json_body={"expires_in": 1}
    )
    assert answer.status == status
    assert run_sql(dsn, "SELECT count(*) FROM tokens") == [(0,)]

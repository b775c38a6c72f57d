"""Authorization: each accepted form, and each rejected one."""

import base64

import pytest

from tests.harness.api import PASSWORD, Answer, Api, basic, bearer
from tests.harness.raw_http import answer_to, raw_request

EMAIL = "susan@example.com"
NEVER_ISSUED = "0123456789abcdef0123456789abcdef.1900000000.c2lnbmF0dXJl"
GARBAGE = ["Basic !!!!", "Bearer nonsense", bearer(NEVER_ISSUED), basic(EMAIL, "wrong password")]


def encoded(content: bytes) -> str:
    return "Basic " + base64.b64encode(content).decode()


async def read(api: Api, authorization: str | None) -> Answer:
    return await api.request("GET", "/api/user", authorization=authorization)


def challenges(answer: Answer) -> list[str]:
    return answer.headers.get_list("WWW-Authenticate")


@pytest.mark.parametrize(
    "form",
    [
        "Bearer {token}",
        "bearer {token}",
        "BEARER  {token}",
        "Basic {token}",
        "basic {token}",
        "base64 {token}",
        "base64 {token}:",
        "base64 {token}:anything: at all",
        "base64 {token}:wrong password",
    ],
)
@pytest.mark.gen_test
async def test_a_token_is_accepted_in_each_form(api: Api, form: str) -> None:
    token = await api.registered_token()
    scheme, _, value = form.format(token=token).partition(" ")
    authorization = basic(value) if scheme == "base64" else f"{scheme} {value}"
    answer = await read(api, authorization)
    assert answer.status == 200
    assert answer.json["email"] == EMAIL


@pytest.mark.parametrize("address", [EMAIL, "SUSAN@EXAMPLE.COM", "Susan@Example.com"])
@pytest.mark.gen_test
async def test_email_and_password_are_accepted_regardless_of_the_case_of_the_address(
    api: Api, address: str
) -> None:
    await api.register()
    assert (await read(api, basic(address, PASSWORD))).status == 200


@pytest.mark.parametrize("password", ["with:colons::inside", "grüße 😀 密码", ": starts so"])
@pytest.mark.gen_test
async def test_basic_is_utf_8_and_splits_at_the_first_colon(api: Api, password: str) -> None:
    await api.register("sörén@example.com", password)
    assert (await read(api, basic("sörén@example.com", password))).status == 200


@pytest.mark.parametrize("scheme", ["Digest", "Negotiate", "Token", "OAuth", "BasicX", "Bearerer"])
@pytest.mark.gen_test
async def test_an_unsupported_scheme_counts_as_no_credentials(api: Api, scheme: str) -> None:
    token = await api.registered_token()
    answer = await read(api, f"{scheme} {token}")
    assert (answer.status, answer.problem) == (401, "credentials-missing")
    assert challenges(answer) == [
        'Basic realm="userauth", charset="UTF-8"',
        'Bearer realm="userauth"',
    ]


@pytest.mark.parametrize("authorization", [None, "", "Digest username=susan"])
@pytest.mark.gen_test
async def test_without_credentials_there_are_two_challenges_and_no_error(
    api: Api, authorization: str | None
) -> None:
    answer = await read(api, authorization)
    assert (answer.status, answer.problem) == (401, "credentials-missing")
    assert "error" not in "".join(challenges(answer))


WRONG_BASIC = [
    "Basic",
    "Basic ",
    "Basic !!!!",
    "Basic c3VzYW4",
    encoded(b"\xff\xfe:password"),
    encoded("susan@example.com:pässword".encode("latin1")),
    encoded(b"susan@example.com"),
    encoded(b":"),
    encoded(b"susan@example.com:"),
    encoded(b":correct horse battery"),
    encoded(b"susan@example.com:correct horse battery\n"),
    encoded(b"susan@example.com\x00:correct horse battery"),
    basic(EMAIL, PASSWORD) + "," + basic(EMAIL, PASSWORD),
    basic(EMAIL, PASSWORD.upper()),
    basic(EMAIL, PASSWORD + " "),
    basic(EMAIL.replace("@", " @"), PASSWORD),
    basic("other@example.com", PASSWORD),
    basic(EMAIL, "x" * 6000),
]


@pytest.mark.gen_test
async def test_wrong_basic_credentials_are_401_without_a_bearer_error(api: Api) -> None:
    await api.register()
    for authorization in WRONG_BASIC:
        answer = await read(api, authorization)
        assert (answer.status, answer.problem) == (401, "credentials-invalid"), authorization
        assert "error" not in "".join(challenges(answer))


NO_TOKENS = [
    "Bearer",
    "Bearer ",
    "Bearer nonsense",
    "Bearer two words",
    "Bearer .",
    "Bearer c3VzYW5AZXhhbXBsZS5jb206cGFzc3dvcmQ=",
    bearer(NEVER_ISSUED),
    f"Basic {NEVER_ISSUED}",
    basic(NEVER_ISSUED),
    basic(NEVER_ISSUED, PASSWORD),
    bearer(f"{NEVER_ISSUED},{NEVER_ISSUED}"),
    bearer("a." * 3000 + "a"),
]


@pytest.mark.gen_test
async def test_an_unknown_token_is_401_with_a_bearer_error(api: Api) -> None:
    for authorization in NO_TOKENS:
        answer = await read(api, authorization)
        assert (answer.status, answer.problem) == (401, "token-invalid"), authorization
        assert challenges(answer) == [
            'Basic realm="userauth", charset="UTF-8"',
            'Bearer realm="userauth", error="invalid_token"',
        ]


@pytest.mark.parametrize("first", [basic(EMAIL, PASSWORD), "Digest x", "", "Bearer x.y"])
@pytest.mark.gen_test
async def test_two_authorization_headers_are_rejected(api: Api, first: str) -> None:
    await api.register()
    answer = await answer_to(
        api,
        raw_request(
            "GET",
            "/api/user",
            f"Authorization: {first}",
            f"Authorization: {basic(EMAIL, PASSWORD)}",
        ),
    )
    assert answer.status == 401


@pytest.mark.parametrize("value", [b"Basic \xff\xfe", b"Bearer \xff.\xfe", b"B\xe4sic x", b"\xff"])
@pytest.mark.gen_test
async def test_credentials_that_are_not_text_are_rejected(api: Api, value: bytes) -> None:
    request = raw_request("GET", "/api/user", "Authorization: HERE").replace(b"HERE", value)
    assert (await answer_to(api, request)).status == 401


@pytest.mark.parametrize("authorization", GARBAGE)
@pytest.mark.gen_test
async def test_calls_without_credentials_ignore_them(api: Api, authorization: str) -> None:
    calls = {
        ("GET", "/health/live"): 200,
        ("HEAD", "/health/live"): 200,
        ("GET", "/health/ready"): 200,
        ("OPTIONS", "/api/user"): 204,
        ("OPTIONS", "/api/user/login"): 204,
        ("GET", "/nowhere"): 404,
        ("PUT", "/api/user"): 405,
        ("HEAD", "/api/user/login"): 405,
    }
    for (method, path), status in calls.items():
        answer = await api.request(method, path, authorization=authorization)
        assert answer.status == status, (method, path)
    answer = await api.request(
        "POST",
        "/api/user/register",
        authorization=authorization,
        json_body={"email": EMAIL, "password": PASSWORD},
    )
    assert answer.status == 201


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "DELETE"])
@pytest.mark.parametrize("form", ["password", "bearer", "basic", "base64"])
@pytest.mark.gen_test
async def test_every_call_on_the_user_accepts_every_form(api: Api, method: str, form: str) -> None:
    token = await api.registered_token()
    authorization = {
        "password": basic(EMAIL, PASSWORD),
        "bearer": bearer(token),
        "basic": f"Basic {token}",
        "base64": basic(token, ""),
    }[form]
    body = {"name": "Susan"} if method == "PATCH" else None
    answer = await api.request(method, "/api/user", authorization=authorization, json_body=body)
    assert answer.status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "DELETE"])
@pytest.mark.gen_test
async def test_every_call_on_the_user_rejects_wrong_credentials(api: Api, method: str) -> None:
    await api.register()
    body = {"name": "Susan"} if method == "PATCH" else None
    for authorization in GARBAGE:
        answer = await api.request(method, "/api/user", authorization=authorization, json_body=body)
        assert answer.status == 401, authorization
    assert (await read(api, basic(EMAIL, PASSWORD))).json["name"] is None

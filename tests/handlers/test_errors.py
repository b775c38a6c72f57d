"""Errors: each problem type, and what a 500 reveals."""

import gc
import io
import json

import pytest

from handlers.application import Application
from ops.log_format import LogFormat
from ops.logs import open_log
from ops.request_log import RequestLog
from rules.errors import (
    DatabaseUnavailable,
    EmailUnverified,
    Overloaded,
    RegistrationClosed,
    TooManyMessages,
    TooManyWrites,
    problem_types,
)
from services.accounts import Accounts
from services.identities import Identities
from services.readiness import Readiness
from services.registration import Registration
from services.tokens import Tokens
from tests.harness.api import PASSWORD, PROBLEM_TYPES, Answer, Api, basic, bearer
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings
from tests.harness.failures import raising
from tests.harness.raw_http import answer_to, raw_request
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
# The classes of methods that are not of Accounts.
SERVICES = {
    "register": Registration,
    "identify": Identities,
    "log_in": Tokens,
    "check_ready": Readiness,
}
SECRET = "SELECT secret FROM vault; password=hunter2"
REGISTER = "/api/user/register"
RESET = "/api/user/password/reset"


@override_settings(LIMITS__BODY_TIMEOUT_SECONDS=0.2)
@pytest.mark.gen_test
async def test_each_problem_type_occurs_and_is_documented(
    api: Api, app: Application, clock: Clock, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = await api.registered_token()
    json = {"Content-Type": "application/json"}
    answers = [
        await api.request("POST", REGISTER, headers=json, body=b"["),
        await api.request("GET", "/api/user"),
        await api.request("GET", "/api/user", authorization=basic(EMAIL, "wrong password")),
        await api.request("GET", "/api/user", authorization=bearer(token + "x")),
        await api.request("GET", "/nowhere"),
        await api.request(
            "GET", "/api/user", headers={f"X-{number}": "x" for number in range(101)}
        ),
        await api.request("GET", "/api/user", headers={"X-Long": "x" * 17_000}),
        await answer_to(api, raw_request("POST", REGISTER, "Transfer-Encoding: gzip, chunked")),
        await answer_to(api, raw_request("GET", "/api/user", version="HTTP/2.0")),
        await answer_to(api, raw_request("POST", REGISTER, "Content-Length: 999")),
        await api.request(
            "GET",
            "/api/user/login",
            authorization=basic(EMAIL, PASSWORD),
            headers={"Sec-Fetch-Site": "cross-site"},
        ),
        await api.request("PUT", "/api/user"),
        await api.register(),
        await api.request("POST", REGISTER, headers=json, body=b"x" * 70_000),
        await api.request("POST", REGISTER, body=b"{}"),
        await api.request("POST", REGISTER, json_body={}),
        await api.request("POST", RESET, json_body={"email": EMAIL}),
        await api.request(
            "POST", f"{RESET}/confirm", json_body={"token": "x", "password": PASSWORD}
        ),
    ]
    run_sql(dsn, "UPDATE users SET disabled_at = now()")
    answers.append(await api.log_in())
    run_sql(dsn, "UPDATE users SET disabled_at = NULL")
    tries = [await api.log_in(password="wrong password") for _ in range(11)]
    answers.append(tries[-1])
    clock.advance(86400)
    answers.append(await api.request("GET", "/api/user", authorization=bearer(token)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Readiness, "check_ready", raising(DatabaseUnavailable()))
        answers.append(await api.request("GET", "/health/ready"))
        for error in (Overloaded(7), RegistrationClosed(), TooManyMessages(7)):
            patch.setattr(Registration, "register", raising(error))
            answers.append(await api.register())
        patch.setattr(Identities, "identify_by_password", raising(EmailUnverified()))
        answers.append(await api.log_in())
        patch.setattr(Accounts, "delete", raising(TooManyWrites(7)))
        clock.advance(-86400)
        answers.append(await api.request("DELETE", "/api/user", authorization=bearer(token)))
        patch.setattr(Readiness, "check_ready", raising(RuntimeError()))
        answers.append(await api.request("GET", "/health/ready"))
    app.draining = True
    answers.append(await api.request("GET", "/health/ready"))
    app.require_https = True
    answers.append(await api.request("GET", "/api/user"))
    caplog.clear()
    met = {answer.problem: answer for answer in answers}
    assert len(met) == len(answers)
    assert set(met) == PROBLEM_TYPES
    classes = {cls.name: cls for cls in problem_types()}
    assert set(met) == set(classes)
    for name, answer in met.items():
        assert answer.status == classes[name].status
        assert answer.json["title"] == classes[name].title


async def send(api: Api, name: str, token: str) -> Answer:
    """Send a request that calls the method with this name."""
    match name:
        case "register":
            return await api.register("other@example.com")
        case "log_in":
            return await api.log_in()
        case "update":
            return await api.request(
                "PATCH", "/api/user", authorization=bearer(token), json_body={"name": "Susan"}
            )
        case "delete":
            return await api.request("DELETE", "/api/user", authorization=bearer(token))
        case "check_ready":
            return await api.request("GET", "/health/ready")
        case _:
            return await api.request("GET", "/api/user", authorization=bearer(token))


@pytest.mark.parametrize(
    "name", ["register", "identify", "log_in", "update", "delete", "check_ready"]
)
@pytest.mark.parametrize("error", [RuntimeError, OSError])
@pytest.mark.gen_test
async def test_a_bug_is_500_without_details_and_is_logged_with_its_request_id(
    api: Api, name: str, error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    token = await api.registered_token()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SERVICES.get(name, Accounts), name, raising(error(SECRET)))
        answer = await send(api, name, token)
    records = [record for record in caplog.records if record.exc_info is not None]
    caplog.clear()
    assert (answer.status, answer.problem) == (500, "internal-error")
    for hidden in ("hunter2", "SELECT", "Traceback", error.__name__, "accounts", ".py", EMAIL):
        assert hidden.encode() not in answer.content
    [record] = records
    assert answer.json["request_id"] == vars(record)["request_id"]
    assert record.exc_info is not None
    assert record.exc_info[0] is error
    assert (await send(api, "identify", token)).status == 200


@pytest.mark.gen_test
async def test_a_bug_under_head_is_500_without_a_body(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Readiness, "check_ready", raising(RuntimeError(SECRET)))
        answer = await api.request("HEAD", "/health/ready")
    caplog.clear()
    assert answer.status == 500


@pytest.mark.gen_test
async def test_a_bug_after_the_work_sends_nothing_of_the_success(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr("handlers.user.user_document", fail)
    answer = await api.register()
    caplog.clear()
    assert answer.status == 500
    assert "Location" not in answer.headers


@pytest.mark.gen_test
async def test_failed_sql_is_500_and_appears_in_neither_response_nor_log(
    api: Api, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    await api.register()
    run_sql(dsn, "ALTER TABLE users RENAME COLUMN password_hash TO renamed")
    try:
        answers = [
            await api.request("GET", "/api/user", authorization=basic(EMAIL, PASSWORD)),
            await api.register("other@example.com", name="Other Person"),
        ]
    finally:
        run_sql(dsn, "ALTER TABLE users RENAME COLUMN renamed TO password_hash")
    gc.collect()  # reveals a connection that was not closed
    logged = caplog.text
    caplog.clear()
    for answer in answers:
        assert (answer.status, answer.problem) == (500, "internal-error")
        assert b"password_hash" not in answer.content
    for hidden in ("$userauth-bcrypt", EMAIL, "other@example.com", "Other Person", PASSWORD):
        assert hidden not in logged


@pytest.mark.gen_test
async def test_an_unreadable_stored_hash_is_500_and_stays_secret(
    api: Api, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    await api.register()
    run_sql(dsn, "UPDATE users SET password_hash = 'plain-hunter2'")
    answer = await api.log_in()
    logged = caplog.text
    caplog.clear()
    assert (answer.status, answer.problem) == (500, "internal-error")
    assert "hunter2" not in logged + answer.content.decode()


@pytest.mark.gen_test
async def test_no_secret_of_a_request_is_in_any_log_line(
    api: Api, app: Application, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    lines = io.StringIO()
    writer = open_log(lines, LogFormat.JSON)
    app.request_log = RequestLog(writer, clock, json.dumps)
    with caplog.at_level("DEBUG"):
        token = await api.registered_token()
        await api.log_in(EMAIL, "wrong password")
        await api.register(password="short-1")
        await api.request("GET", f"/api/user?token={token}", authorization=bearer(token))
        await api.request("GET", "/x/" + token.replace(".", "%2E"))
        await api.request("GET", f"/x/{EMAIL}:{PASSWORD.replace(' ', '')}@localhost/api/user")
        await api.request("GET", "/api/user", authorization=bearer(token + "x"))
        await api.request("DELETE", "/api/user", authorization=basic(EMAIL, PASSWORD))
    app.request_log.flush()
    writer.close(2)
    written = lines.getvalue()
    assert len(written.splitlines()) == 9
    for hidden in (
        token,
        token.rpartition(".")[2],
        PASSWORD,
        PASSWORD.replace(" ", ""),
        "wrong password",
        "short-1",
        EMAIL,
        "$2b$",
    ):
        assert hidden not in written + caplog.text

"""What the log has about rejected and failed requests."""

import pytest

from handlers.application import Application
from ops.request_log import RequestRecord
from rules.errors import Overloaded
from services.readiness import Readiness
from services.tokens import Tokens
from tests.harness.api import Api, basic
from tests.harness.failures import raising
from tests.harness.request_messages import request_messages

EMAIL = "susan@example.com"
FORWARDED = {"X-Forwarded-Proto": "https"}
UNTRUSTED = "a peer that is not in server.trusted_proxies sends X-Forwarded-Proto: https"


class Records:
    """A request log that keeps the records."""

    def __init__(self) -> None:
        self.written: list[RequestRecord] = []

    def write(self, record: RequestRecord) -> None:
        self.written.append(record)


@pytest.mark.gen_test
async def test_the_record_of_a_rejected_request_has_its_problem_and_of_credentials_the_address(
    api: Api, app: Application
) -> None:
    await api.register()
    app.request_log = records = Records()
    await api.request("GET", "/api/user", authorization=basic(EMAIL, "wrong password"))
    await api.request("GET", "/api/user", authorization="Bearer x")
    await api.request("GET", "/nowhere")
    await api.request("GET", "/health/live")
    app.require_https = True
    await api.request("GET", "/api/user")
    assert [(each.problem, each.ip) for each in records.written] == [
        ("credentials-invalid", "127.0.0.1"),
        ("token-invalid", "127.0.0.1"),
        ("not-found", None),
        (None, None),
        ("https-required", "127.0.0.1"),
    ]


@pytest.mark.gen_test
async def test_a_proxy_that_is_not_trusted_is_named_in_the_log_once_a_minute(
    api: Api, app: Application, caplog: pytest.LogCaptureFixture
) -> None:
    app.require_https = True
    for fields in ({}, {"X-Forwarded-Proto": "http"}, *[FORWARDED] * 3):
        answer = await api.request("GET", "/api/user", headers=fields)
        assert answer.problem == "https-required"
    [record] = [each for each in caplog.records if each.getMessage().startswith(UNTRUSTED)]
    assert vars(record)["peer"] == "127.0.0.1"


@pytest.mark.gen_test
async def test_the_message_of_a_failed_request_is_constant_and_has_fields(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Readiness, "check_ready", raising(RuntimeError()))
        answers = [await api.request("GET", "/health/ready") for _ in range(2)]
    records = request_messages(caplog)
    caplog.clear()
    assert {record.getMessage() for record in records} == {"request failed"}
    assert [vars(record)["request_id"] for record in records] == [
        answer.json["request_id"] for answer in answers
    ]
    assert {(vars(each)["method"], vars(each)["route"]) for each in records} == {
        ("GET", "/health/ready")
    }


@pytest.mark.gen_test
async def test_a_login_that_is_rejected_by_a_full_queue_has_one_line(
    api: Api, app: Application, caplog: pytest.LogCaptureFixture
) -> None:
    app.request_log = records = Records()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tokens, "log_in", raising(Overloaded(7)))
        await api.register()
        await api.log_in()
    assert [each.problem for each in records.written] == [None, "overloaded"]
    assert request_messages(caplog) == []

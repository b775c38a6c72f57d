"""What messages link to: each exists, with the pages and without them."""

import json
import re
import uuid
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from db.message_rows import ClaimedMessage
from handlers import routes
from handlers.application import Application
from mail.messages import Envelope, render
from ops.request_log import RequestRecord
from rules.mail_secrets import MailSecrets, derive_secrets
from rules.message_kinds import MessageKind
from settings.choices import Language
from tests.harness.api import PASSWORD, Api, bearer
from tests.harness.configuration import KEY, override_settings
from tests.harness.mail import MAIL, last_message, secrets_of
from tests.harness.sql import run_sql

PATHS = ["/auth/verify", "/auth/reset", "/auth/undo", "/auth/forgot"]
ORIGIN = "https://auth.example.com"
ENVELOPE = Envelope("no-reply@example.com", "", ORIGIN)
NEW = "another horse battery"
OTHER = "susan@example.org"
OFF = {"PAGES__ENABLED": False}
NOW = datetime(2026, 11, 29, tzinfo=UTC)
without_pages = override_settings(**OFF)


class _Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.languages: list[str | None] = []
        self.seen: set[str] = set()
        self.sources: list[str | None] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.languages += [value for name, value in attrs if name == "lang"]
        self.sources += [value for name, value in attrs if name in {"src", "href", "action"}]


@pytest.mark.parametrize(
    "settings",
    [{**OFF, **each} for each in ({}, {"DOCS__ENABLED": False}, MAIL)],
    indirect=True,
)
@pytest.mark.gen_test
async def test_the_pages_are_served_to_all_with_any_settings(api: Api) -> None:
    for path in PATHS:
        got, headed = [
            await api.request(method, f"{path}?request=0f5b&x=%ff") for method in ("GET", "HEAD")
        ]
        assert (got.status, headed.status, headed.content) == (200, 200, b"")
        for name, value in {
            "Content-Type": "text/html; charset=UTF-8",
            "Cache-Control": "no-store",
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; img-src data:; base-uri 'none';"
            " form-action 'none'; frame-ancestors 'none'",
            "Content-Length": str(len(got.content)),
        }.items():
            assert got.headers[name] == headed.headers[name] == value


@without_pages
@pytest.mark.gen_test
async def test_a_page_is_in_both_languages_and_loads_nothing(api: Api) -> None:
    for path in PATHS:
        tags = _Tags((await api.request("GET", path)).content.decode())
        assert tags.languages == ["en", "de"]
        assert tags.sources == ["data:,"]
        assert not {"script", "style", "form", "img", "iframe"} & tags.seen


@without_pages
@pytest.mark.gen_test
async def test_the_calls_that_a_page_shows_exist_with_these_fields(api: Api) -> None:
    handlers = dict(routes)
    for path in PATHS:
        page = (await api.request("GET", path)).content.decode()
        calls = {*re.findall(r"/api/[a-z/]+", page)}
        body = json.loads(page[page.index("{") : page.index("}") + 1])
        assert calls
        for call in calls:
            handlers[call].calls["POST"].body.model_validate(body)


@without_pages
@pytest.mark.gen_test
async def test_another_method_is_rejected(api: Api) -> None:
    for path in PATHS:
        rejected = await api.request("POST", path, body=b"")
        assert (rejected.status, rejected.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


async def post(api: Api, call: str, body: dict[str, str], token: str | None = None) -> int:
    answer = await api.request(
        "POST",
        f"/api/user/{call}",
        json_body=body,
        authorization=None if token is None else bearer(token),
    )
    return answer.status


def claimed(dsn: str, message_id: str) -> ClaimedMessage:
    (row,) = run_sql(
        dsn,
        "SELECT id, nonce, kind, recipient, language, key_id, created_at, expires_at, due_at,"
        " attempts, is_urgent, true FROM messages WHERE id = %s",
        (message_id,),
    )
    return ClaimedMessage(*row)


def state_of(dsn: str) -> list[object]:
    """Return everything that a link may change; the sender changes other columns meanwhile."""
    return [
        run_sql(dsn, "SELECT * FROM users ORDER BY id"),
        run_sql(dsn, "SELECT id, used_at, voided_at, tries FROM messages ORDER BY id"),
        run_sql(dsn, "SELECT id, revoked_at FROM tokens ORDER BY id"),
        run_sql(dsn, "SELECT * FROM events ORDER BY id"),
    ]


def links_of(row: ClaimedMessage, secrets: MailSecrets) -> set[str]:
    """Return the paths that the text and the HTML of a message link to."""
    message = render(row, str(row.recipient), secrets, ENVELOPE)
    return {
        link
        for part in message.iter_parts()
        for link in re.findall(rf'{re.escape(ORIGIN)}(/[^\s"<#]*)', part.get_content())
    }


async def visit(api: Api, dsn: str, kind: MessageKind) -> tuple[str, str]:
    """Open each link of the last message as a mail scanner does; return its id and its token."""
    message_id = last_message(dsn, kind)
    secrets = secrets_of(dsn, message_id)
    links = links_of(claimed(dsn, message_id), secrets)
    assert links == {f"/auth/{kind.rules.page}?request={message_id}"}
    before = state_of(dsn)
    for method in ("HEAD", "GET", "GET"):
        for link in links:
            assert (await api.request(method, link)).status == 200
    assert state_of(dsn) == before
    return message_id, secrets.token


@pytest.mark.parametrize(
    "settings", [MAIL, {**MAIL, **OFF}], ids=["pages", "no pages"], indirect=True
)
@pytest.mark.gen_test
async def test_a_scanner_that_opens_every_link_spends_no_secret(api: Api, dsn: str) -> None:
    token = await api.registered_token()
    assert await post(api, "verification", {}, token) == 202
    _, proof = await visit(api, dsn, MessageKind.VERIFICATION)
    assert await post(api, "verification/confirm", {"token": proof}, token) == 200
    change = {"email": OTHER, "current_password": PASSWORD}
    assert await post(api, "email", change, token) == 202
    _, proof = await visit(api, dsn, MessageKind.EMAIL_CHANGE)
    assert await post(api, "email/confirm", {"token": proof}, token) == 200
    _, proof = await visit(api, dsn, MessageKind.EMAIL_UNDO)
    assert await post(api, "email/undo", {"token": proof}) == 200
    message_id, _ = await visit(api, dsn, MessageKind.UNDO_RESET)
    code = secrets_of(dsn, message_id).code
    reset = {"request": message_id, "code": code, "password": NEW}
    assert await post(api, "password/reset/confirm", reset) == 200
    assert (await api.log_in(password=NEW)).status == 200


@pytest.mark.parametrize(
    "settings", [MAIL, {**MAIL, **OFF}], ids=["pages", "no pages"], indirect=True
)
@pytest.mark.gen_test
async def test_no_link_of_any_message_leads_to_a_page_that_does_not_exist(api: Api) -> None:
    linked = set()
    for kind in MessageKind:
        message_id = str(uuid.uuid4())
        secrets = derive_secrets(KEY, kind, message_id, "nonce")
        for language in Language:
            row = ClaimedMessage(
                *(message_id, "nonce", kind, "susan@example.com", language, "key"),
                *(NOW, NOW, NOW, 0, False, True),
            )
            linked |= links_of(row, secrets)
    assert {link.partition("?")[0] for link in linked} == {*PATHS}
    for link in linked:
        assert (await api.request("GET", link)).status == 200, link


@pytest.mark.gen_test
async def test_the_request_in_a_link_is_not_logged(
    api: Api, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    records: list[RequestRecord] = []
    monkeypatch.setattr(app.request_log, "write", records.append)
    assert (await api.request("GET", "/auth/reset?request=0f5b1f7a")).status == 200
    assert len(records) == 1
    assert "0f5b1f7a" not in repr(records)

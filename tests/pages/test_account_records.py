"""/auth/account/events and /data: what happened, and the data of the user to keep."""

import json

import pytest

from pages.texts import read_texts
from services.event_kinds import EventKind
from tests.harness.accounts import ACCOUNT, EMAIL, WRONG, signed_in
from tests.harness.api import PASSWORD, Api, bearer
from tests.harness.configuration import ROOT
from tests.harness.form_browser import FormBrowser
from tests.harness.sql import run_sql

EVENTS, DATA = f"{ACCOUNT}/events", f"{ACCOUNT}/data"
# Those of clients, keys and the queue of messages, and of lists of users: never of one user.
NOT_OF_USERS = ("client-", "key-", "mail-", "users-")


@pytest.mark.parametrize("language", ["en", "de"])
def test_each_event_has_a_text(language: str) -> None:
    texts = read_texts((ROOT / "pages" / "languages",))[language]
    kinds = [kind for kind in EventKind if not kind.startswith(NOT_OF_USERS)]
    assert not [kind for kind in kinds if not texts.has(f"event.{kind}")]


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["Signed in", "Wrong password", "Account created"]),
        ("de", ["Angemeldet", "Falsches Passwort", "Konto erstellt"]),
    ],
)
@pytest.mark.gen_test
async def test_events_are_those_of_the_api_in_words(
    api: Api, browser: FormBrowser, language: str, words: list[str]
) -> None:
    await api.register()
    await api.log_in(password=WRONG)
    await browser.sign_in(EMAIL, PASSWORD)
    page = await browser.get(EVENTS, accept_language=language)
    positions = [page.text.index(word) for word in words]
    assert positions == sorted(positions)
    token = await api.token()
    listed = await api.request("GET", "/api/user/events", authorization=bearer(token))
    times = [each for each in page.elements if each.tag == "time"]
    # The login that the list of the API needs is one more.
    assert len(times) == len(listed.json["events"]) - 1
    assert "127.0.0.1" in page.text


@pytest.mark.gen_test
async def test_older_events_are_on_pages_of_their_own(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await signed_in(api, browser)
    run_sql(
        dsn,
        "INSERT INTO events (at, kind, outcome, user_id, times)"
        " SELECT now(), 'unknown-kind', 'success', id, 3 FROM users, generate_series(1, 60)",
    )
    page = await browser.get(EVENTS)
    assert "The account was used or changed (3 times)" in page.text
    links = [each.attributes.get("href", "") for each in page.elements if each.tag == "a"]
    [older] = [link for link in links if "before=" in link]
    last = await browser.get(older)
    assert "Account created" in last.text
    assert "before=" not in "".join(
        each.attributes.get("href", "") for each in last.elements if each.tag == "a"
    )


@pytest.mark.gen_test
async def test_the_data_are_a_file_without_secrets(
    api: Api, browser: FormBrowser, dsn: str
) -> None:
    await signed_in(api, browser, name="Susan")
    token = await api.token()
    await api.register("bob@example.com")
    answer = await browser.get(DATA)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json; charset=UTF-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="account.json"'
    found = json.loads(answer.content)
    assert (found["user"]["email"], found["user"]["name"]) == (EMAIL, "Susan")
    assert sorted(each["kind"] for each in found["tokens"]) == ["session", "token"]
    kinds = [each["kind"] for each in found["events"]]
    assert sorted(kinds) == ["logged-in", "logged-in", "registered"]
    [(stored,)] = run_sql(dsn, "SELECT password_hash FROM users WHERE email = %s", (EMAIL,))
    for secret in (token, browser.cookies["userauth"], PASSWORD, stored, "bob@example.com"):
        assert secret not in answer.html


@pytest.mark.gen_test
async def test_the_data_have_all_events(api: Api, browser: FormBrowser, dsn: str) -> None:
    await signed_in(api, browser)
    run_sql(
        dsn,
        "INSERT INTO events (at, kind, outcome, user_id)"
        " SELECT now(), 'logged-in', 'success', id FROM users, generate_series(1, 2500)",
    )
    found = json.loads((await browser.get(DATA)).content)["events"]
    assert len({each["id"] for each in found}) == 2502


@pytest.mark.parametrize(
    ("before", "status", "text"),
    [("a", 404, "This page does not exist."), ("%FF", 400, "the link is incomplete")],
)
@pytest.mark.gen_test
async def test_the_address_of_no_events_is_an_error_in_words(
    api: Api, browser: FormBrowser, before: str, status: int, text: str
) -> None:
    await signed_in(api, browser)
    page = await browser.get(f"{EVENTS}?before={before}")
    assert page.status == status
    assert text in page.text

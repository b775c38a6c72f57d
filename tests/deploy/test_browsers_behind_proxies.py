"""Browsers in front of the sample configurations: the way to sign in, and the cookies."""

import asyncio
import json
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

import pytest
from tornado.httpclient import HTTPResponse

from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.child_processes import running, stop
from tests.harness.configuration import ROOT
from tests.harness.form_browser import HTML
from tests.harness.processes import environment, free_port
from tests.harness.protected_site import TRUSTED, Site, behind

pytestmark = pytest.mark.needs("openssl")
SIGN_IN = "/auth/sign-in"
OURS = tuple(
    f"{prefix}userauth{suffix}"
    for prefix in ("__Host-", "")
    for suffix in ("", "-form", "-language")
)


def next_of(answer: HTTPResponse) -> str:
    """Return where a redirect leads after signing in, as the page reads it."""
    path, _, following = answer.headers["Location"].partition("?next=")
    assert path == SIGN_IN
    # nginx cannot encode it, so it is the rest of the query as it is.
    return following if following.startswith("/") else unquote(following)


def test_a_browser_without_a_session_goes_to_sign_in_and_learns_the_way_back(
    any_sample: str, dsn: str, tmp_path: Path
) -> None:
    async def use(site: Site, _api: Api) -> None:
        for method in ("GET", "HEAD"):
            for path in ("/", "/report?year=2026&q=a%20b%26c", "/?sign_in=false", "/?next=//evil"):
                answer = await site.ask(None, path, more=HTML, method=method)
                assert (answer.code, next_of(answer)) == (303, path)
        for more in (
            HTML | {"Sec-Fetch-Mode": "navigate"},
            {"Accept": "application/json;q=0.5, text/html"},
        ):
            answer = await site.ask(None, "/x", more=more)
            assert (answer.code, next_of(answer)) == (303, "/x")
        # What a caller claims about its request does not matter.
        claims = {"X-Forwarded-Uri": "/evil", "X-Forwarded-Method": "GET"}
        claims |= {"X-Forwarded-Host": "evil.example", "X-Original-URL": "/evil"}
        answer = await site.ask(None, "/x", more=HTML | claims)
        assert (answer.code, next_of(answer)) == (303, "/x")
        assert site.seen == []

    behind(any_sample, dsn, tmp_path, use, **TRUSTED)


def test_only_a_browser_that_reads_is_redirected(any_sample: str, dsn: str, tmp_path: Path) -> None:
    claims = {"X-Forwarded-Method": "GET", "X-HTTP-Method-Override": "GET"}

    async def use(site: Site, api: Api) -> None:
        token = await api.registered_token()
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            for path in ("/", "/?sign_in=true"):
                body = b"{}" if method in {"POST", "PUT", "PATCH"} else None
                answer = await site.ask(None, path, more=HTML | claims, method=method, body=body)
                assert (answer.code, answer.headers.get("Location")) == (401, None)
        for more in (
            {},
            {"Accept": "*/*"},
            {"Accept": "application/json"},
            {"Accept": "text/html;q=0.5, application/json"},
            {"Accept": "*/*", "Sec-Fetch-Mode": "cors"},
            {"Accept": "text/html", "Sec-Fetch-Mode": "cors"},
            {"Accept": "application/json, text/html;q=0.1", "Sec-Fetch-Mode": "cors"},
            {"Accept": "application/json, text/html;q=0.1", "Sec-Fetch-Mode": "navigate"},
            {"Accept": "text/html;q=0, */*", "Sec-Fetch-Mode": "cors"},
            {"Accept": "text/html;q=0, */*"},
            {"Accept": "image/avif,*/*;q=0.8", "Sec-Fetch-Mode": "no-cors"},
        ):
            for path in ("/", "/?sign_in=true", "/?sign_in=1&page=2"):
                answer = await site.ask(None, path, more=more)
                assert (answer.code, answer.headers.get("Location")) == (401, None)
                schemes = " ".join(answer.headers.get_list("WWW-Authenticate"))
                assert ("Basic" in schemes) == ("Sec-Fetch-Mode" not in more)
        for wrong in (bearer("a.b.c"), basic("susan@example.com", "wrong password")):
            answer = await site.ask(wrong, more=HTML)
            assert (answer.code, answer.headers.get("Location")) == (401, None)
        assert site.seen == []
        # What the application responds with is not changed.
        for status in (401, 403, 303, 500):
            answer = await site.ask(bearer(token), f"/?status={status}", more=HTML)
            assert (answer.code, answer.headers.get("Location")) == (status, None)
        assert len(site.seen) == 4

    behind(any_sample, dsn, tmp_path, use, **TRUSTED)


def test_the_application_gets_no_cookie_of_userauth_and_its_own(
    any_sample: str, dsn: str, tmp_path: Path
) -> None:
    secret = "5e55a0f1.1800000000.c2lnbmF0dXJl"

    async def use(site: Site, api: Api) -> None:
        token = await api.registered_token()
        for given, expected in cookies(secret):
            answer = await site.ask(bearer(token), more={"Cookie": given})
            assert answer.code == 200
            # Traefik removes all of them or none.
            passed = "" if any_sample == "traefik.yml" else expected
            assert json.loads(answer.body).get("Cookie", "") == passed, given
        for separator in (";", "; "):
            many = separator.join([f"a{n}=b;\xa0userauth={secret}" for n in range(20)])
            answer = await site.ask(bearer(token), more={"Cookie": many})
            # nginx removes a few, and otherwise all cookies.
            assert ("a19=b" in json.loads(answer.body).get("Cookie", "")) == (
                any_sample == "Caddyfile"
            )
        assert secret not in str(site.seen)

    behind(any_sample, dsn, tmp_path, use, **TRUSTED)


def cookies(secret: str) -> list[tuple[str, str]]:
    """Return values of Cookie, each with what the application should get."""
    ours = [f"{name}={secret}" for name in OURS]
    # Other hosts may set names that contain those of userauth.
    planted = [
        f"{before}userauth{after}={secret}"
        for before, after in (
            *(("\xa0__Host-", ""), ("\x85__Host-", ""), ("\xe3\x80\x80__Host-", "-form")),
            *(("my", ""), ("", "\xa0"), ("x__Host-", ""), ("", "-forms")),
        )
    ]
    ours = [*ours, *planted]
    theirs = ("lang=de", "a=userauth=4", "user=auth=5", "userAuth=6", "user-auth=7")
    return [
        *((cookie, "") for cookie in ours),
        *((f"{cookie}; a=b", "a=b") for cookie in ours),
        *((f"a=b; {cookie}", "a=b") for cookie in ours),
        *((f"a=b;{cookie};c=d", "a=b;c=d") for cookie in ours),
        ("; ".join(ours), ""),
        ("; ".join([*ours, *theirs]), "; ".join(theirs)),
        ("; ".join([*theirs, *ours]), "; ".join(theirs)),
        (f"{ours[0]}; {theirs[0]}; {ours[1]}; {theirs[1]}", f"{theirs[0]}; {theirs[1]}"),
        (f"a=b; userauth =\t{secret}", "a=b"),
        ("; ".join(theirs), "; ".join(theirs)),
        ("userauth; a=b; " + "userauth" * 500, "userauth; a=b; " + "userauth" * 500),
        ('q="a b"; session=x.y-z_%3D', 'q="a b"; session=x.y-z_%3D'),
    ]


def test_a_browser_signs_in_comes_back_and_signs_out(
    any_sample: str, dsn: str, tmp_path: Path
) -> None:
    path = "/report?year=2026&q=a%20b%26c"

    async def use(site: Site, api: Api) -> None:
        user = (await api.register()).json
        browser = site.browser()
        sent = await browser.get(path)
        assert sent.status == 303
        signed_in = await browser.send(sent.target, email=user["email"], password=PASSWORD)
        assert signed_in.target == path
        assert {"__Host-userauth", "__Host-userauth-form"} >= {*browser.cookies}
        browser.cookies["lang"] = "de"
        for page in (await browser.get(path), await browser.post(path, {"a": "b"})):
            assert page.status == 200
            seen = json.loads(page.content)
            assert (seen["X-Auth-User-Id"], seen["X-Auth-Email"]) == (user["id"], user["email"])
            assert "userauth" not in seen.get("Cookie", "")
        assert "__Host-userauth" in browser.cookies
        # Beside Authorization, the session does not count.
        cookie = {"Cookie": f"__Host-userauth={browser.cookies['__Host-userauth']}"}
        for authorization in (bearer("a.b.c"), bearer(browser.cookies["__Host-userauth"])):
            assert (await site.ask(authorization, more=HTML | cookie)).code == 401
        assert (await browser.send("/auth/sign-out")).status == 303
        assert (await site.ask(None, more=HTML | cookie)).code == 303
        assert (await site.ask(None, more=cookie)).code == 401
        browser.close()

    behind(any_sample, dsn, tmp_path, use, **TRUSTED)


@pytest.fixture
def example() -> Iterator[tuple[Sequence[str], Sequence[int]]]:
    """Yield the command that runs the example, and its ports: that of nginx is the first."""
    ports = [free_port() for _ in range(3)]
    options = ("--port", "--userauth-port", "--application-port")
    given = [f"{option}={port}" for option, port in zip(options, ports, strict=True)]
    yield [sys.executable, str(ROOT / "deploy/example/run.py"), *given], ports
    shutil.rmtree(ROOT / "var" / "example" / str(ports[0]), ignore_errors=True)


@pytest.mark.needs("nginx")
def test_the_example_says_that_it_is_ready_only_if_it_is(
    example: tuple[Sequence[str], Sequence[int]], tmp_path: Path
) -> None:
    variables = environment(APP_SETTINGS="development", DATABASE_URL="nonsense")
    with running(example[0], tmp_path / "log", variables) as program:
        output, _ = program.communicate(timeout=60)
    assert (program.returncode, output) == (1, "")
    log = (tmp_path / "log").read_text()
    assert log.endswith("The programs did not become ready: see above.\n")


@pytest.mark.parametrize(
    ("index", "hint", "option"),
    [
        (0, "", "--port"),
        (1, " (perhaps `make serve`)", "--userauth-port"),
        (2, "", "--application-port"),
    ],
)
def test_the_example_does_not_start_if_a_port_is_in_use(
    example: tuple[Sequence[str], Sequence[int]],
    tmp_path: Path,
    index: int,
    hint: str,
    option: str,
) -> None:
    command, ports = example
    with (
        socket.create_server(("127.0.0.1", ports[index])),
        running(command, tmp_path / "log", environment()) as program,
    ):
        output, _ = program.communicate(timeout=60)
    assert (program.returncode, output) == (1, "")
    assert (tmp_path / "log").read_text() == (
        f"Port {ports[index]}: Address already in use. Stop the program that listens on it{hint},"
        f" or choose another port: {sys.executable} deploy/example/run.py {option}=PORT\n"
    )


@pytest.mark.needs("nginx")
def test_the_example_lets_a_browser_sign_in_over_plain_http(
    example: tuple[Sequence[str], Sequence[int]], dsn: str, tmp_path: Path
) -> None:
    command, ports = example
    variables = {"APP_SETTINGS": "development", "DATABASE_URL": dsn}
    variables |= {"USERAUTH_MAIL__URL": f"folder:{tmp_path}/mail"}
    with running(command, tmp_path / "log", environment(**variables)) as program:
        assert program.stdout is not None
        while "in a browser" not in (line := program.stdout.readline()):
            assert line, (tmp_path / "log").read_text()
        asyncio.run(use_example(line.split()[1].rstrip("/"), f"http://127.0.0.1:{ports[1]}"))
        assert stop(program) == 0


async def use_example(url: str, userauth: str) -> None:
    """Add a note as a person with a browser, and read it as a client of the API."""
    api = Api(userauth)
    user = (await api.register()).json
    site = Site(url)
    browser = site.browser()
    sent = await browser.get("/")
    assert sent.status == 303
    signed_in = await browser.send(sent.target, email=user["email"], password=PASSWORD)
    assert signed_in.target == "/"
    assert "userauth" in browser.cookies
    assert (await browser.post("/", {"note": "<b>"}, **browser.sender)).target == "/"
    assert "<li>&lt;b&gt;</li>" in (await browser.get("/")).html
    browser.close()
    assert b"&lt;b&gt;" in (await site.ask(bearer(await api.token()))).body
    for more in ({}, HTML):
        answer = await site.ask(None, "/", body=b"note=x", more=more)
        assert (answer.code, answer.headers.get("Location")) == (401, None)
    api.close()

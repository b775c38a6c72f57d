"""Every command in the pages for users works, and prints the samples below it."""

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from settings.load import load_settings
from tests.harness import api_reference, command_reference
from tests.harness.configuration import ROOT
from tests.harness.pages import (
    SHOWN_URL,
    all_commands,
    awaiting_messages,
    blocks,
    commands,
    page,
    run_commands,
    samples,
    save_files,
    saved_files,
    section,
    shape,
)
from tests.harness.processes import ServerProcess, free_port, listening, running_server
from tests.harness.programs import get_program

README = page("README.md")
QUICK_START = section(README, "## Quick start")
TUTORIAL = page("docs/tutorial.md")
CHECK_TOKENS = page("docs/check-tokens.md")
# The pages whose commands run one after another, and how many samples each has at least.
PAGES = {
    "README.md": (QUICK_START, 3),
    "docs/login-and-tokens.md": (page("docs/login-and-tokens.md"), 9),
    "docs/check-tokens.md": (CHECK_TOKENS, 2),
    "docs/verification-and-reset.md": (page("docs/verification-and-reset.md"), 6),
    "docs/api.md": (page("docs/api.md"), 0),
}
PORTS = {"caddy": "127.0.0.1:8080", "nginx": "127.0.0.1:8081", "python3": "127.0.0.1:9000"}

# Lets the application of the tutorial return the cookies that it gets.
SENT = "        self.end_headers()\n"
SHOWING_COOKIES = '        self.send_header("Seen-Cookie", self.headers.get("Cookie", "nothing"))\n'


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of messages."""
    return tmp_path_factory.mktemp("mail")


@pytest.fixture(scope="module")
def server(
    postgres: str, mail: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """Run one server for all pages."""
    variables = {
        "DATABASE_URL": postgres,
        "USERAUTH_MAIL__URL": f"folder:{mail}",
        "USERAUTH_MAIL__FROM": "userauth <userauth@localhost>",
    }
    with running_server(variables, tmp_path_factory.mktemp("pages") / "log") as one:
        yield one


@pytest.mark.needs("curl")
@pytest.mark.parametrize("name", PAGES)
def test_the_commands_of_a_page_print_its_samples(
    server: ServerProcess, mail: Path, dsn: str, name: str
) -> None:
    text, min_samples = PAGES[name]
    for message in mail.glob("*.eml"):
        message.unlink()
    awaiting = awaiting_messages(all_commands(text), mail)
    real = {SHOWN_URL: server.url, "var/mail": str(mail)}
    printed = run_commands(awaiting, real, DATABASE_URL=dsn)
    found = list(samples(text, printed))
    assert len(found) >= min_samples
    assert [sample for sample in found if not sample.is_right()] == []


def test_the_pages_register_different_users() -> None:
    # A reader follows one page after another, on the same database.
    texts = [text for text, _ in PAGES.values()]
    texts += [TUTORIAL, page("deploy/example/README.md"), page("client/README.md")]
    used = [email for text in texts for email in {*re.findall(r"\w+@example\.com", text)}]
    assert len(used) == len({*used}) >= 7


@pytest.mark.parametrize("name", PAGES)
def test_a_block_waits_for_the_message_that_it_reads(name: str) -> None:
    # The test above waits by itself, unlike the shell of a reader who pastes the block.
    for block in (text for language, text in blocks(PAGES[name][0]) if language == "sh"):
        has_waited = False
        for command in commands(block):
            has_waited |= command == "sleep 1"
            assert has_waited or "var/mail/" not in command, command
            # A request may send another message.
            has_waited &= "curl" not in command


def test_the_sample_of_a_page_must_look_like_the_output() -> None:
    token = {"token": "4f1c2d3e.1795604905.Yk3v-x_Y", "expires_in": 86400}
    assert shape(token) == shape({"token": "4f1c….1795604905.Yk3v…", "expires_in": 86400})
    assert shape(token) != shape({"token": "4f1c….1795604905.Yk3v…", "expires_in": 3600})
    assert shape({"name": "Susan"}) != shape({"name": None})
    assert shape({"at": "2026-11-24T11:08:27.512Z"}) != shape({"at": "yesterday"})


def test_the_pages_show_each_form_of_credentials() -> None:
    found = all_commands(PAGES["docs/login-and-tokens.md"][0])
    for form in (
        '"Authorization: Bearer $TOKEN"',
        '"Authorization: Basic $TOKEN"',
        '-u "$TOKEN:"',
        "-u thomas@example.com:password",
    ):
        assert any(form in command and command.endswith("/api/user") for command in found)


def test_the_readme_and_the_tutorial_show_the_same_caddyfile() -> None:
    shown = [block for language, block in blocks(README) if language == "caddyfile"]
    assert shown == [saved_files(TUTORIAL)["Caddyfile"]]


def test_the_settings_in_the_page_on_proxies_are_accepted() -> None:
    text = page("docs/behind-a-proxy.md")
    shown = dict(re.findall(r"^(USERAUTH_\w+)=(\S+)$", text, re.MULTILINE))
    assert len(shown) == 2
    settings = load_settings(shown, ROOT / "settings.toml")
    assert len(settings.server.trusted_proxies) == len(settings.cors.origins) == 2


@contextmanager
def started(command: list[str], folder: Path, address: str) -> Iterator[None]:
    """Run a command of the tutorial that serves an address."""
    with (folder / f"{Path(command[0]).name}.log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            env={"HOME": str(folder), "XDG_DATA_HOME": str(folder)},
        )
    with listening(process, int(address.rpartition(":")[2])):
        yield


def cookies_passed_by(proxy: str, userauth: str) -> str:
    """Return the cookies that the application gets from a user with the session of a browser."""
    user = {"email": f"{uuid.uuid4()}@example.com", "password": "another horse battery"}
    httpx.post(f"{userauth}/api/user/register", json=user, timeout=30).raise_for_status()
    token = httpx.post(f"{userauth}/api/user/login", json=user, timeout=30).json()["token"]
    fields = {"Authorization": f"Bearer {token}", "Cookie": "userauth=a; __Host-userauth=b"}
    # userauth rejects as many parameters: a proxy must not pass them.
    url = f"{proxy}?{'a&' * 150}"
    return httpx.get(url, headers=fields, timeout=30).raise_for_status().headers["Seen-Cookie"]


@pytest.mark.needs("curl", "caddy", "nginx")
def test_the_tutorial_works_with_both_proxies(
    server: ServerProcess, dsn: str, tmp_path: Path
) -> None:
    servers = [block.strip() for language, block in blocks(TUTORIAL) if language == ""]
    assert servers[:3] == ["make serve", "python3 app.py", "caddy run"]
    assert servers[3:] == ['nginx -p "$PWD" -e stderr -c nginx.conf']
    addresses = {shown: f"127.0.0.1:{free_port()}" for shown in PORTS.values()}
    everywhere = {SHOWN_URL.removeprefix("http://"): server.url.removeprefix("http://")}
    everywhere |= addresses
    # Python writes the address of the application in two parts.
    in_python = {
        shown.replace(":", '", '): real.replace(":", '", ') for shown, real in addresses.items()
    }
    save_files(TUTORIAL, tmp_path, everywhere | in_python)
    application = tmp_path / "app.py"
    application.write_text(application.read_text().replace(SENT, SHOWING_COOKIES + SENT))
    caddyfile = tmp_path / "Caddyfile"
    # Another Caddy may run on this machine, and its port of administration is fixed.
    caddyfile.write_text(f"{{\n\tadmin off\n}}\n{caddyfile.read_text()}")
    with ExitStack() as stack:
        for command in (
            [sys.executable, "app.py"],
            [get_program("caddy"), "run"],
            [get_program("nginx"), "-p", str(tmp_path), "-e", "stderr", "-c", "nginx.conf"],
        ):
            name = "python3" if command[0] == sys.executable else Path(command[0]).name
            stack.enter_context(started(command, tmp_path, addresses[PORTS[name]]))
        printed = run_commands(all_commands(TUTORIAL), everywhere, DATABASE_URL=dsn)
        for proxy in ("caddy", "nginx"):
            assert cookies_passed_by(f"http://{addresses[PORTS[proxy]]}/", server.url) == "nothing"
    found = list(samples(TUTORIAL, printed))
    assert len(found) >= 9
    assert [sample for sample in found if not sample.is_right()] == []


@pytest.mark.needs("node")
@pytest.mark.usefixtures("dsn")
def test_the_code_of_a_page_in_a_browser_logs_in_and_out(
    server: ServerProcess, tmp_path: Path
) -> None:
    [code] = [
        block
        for language, block in blocks(section(CHECK_TOKENS, "## A page in a browser"))
        if language == "js"
    ]
    account = json.dumps({"email": "susan@example.com", "password": "пароль 密码"})
    file = tmp_path / "page.mjs"
    file.write_text(
        code.replace(SHOWN_URL, server.url)
        + f"""
const account = {account};
await call("POST", "/api/user/register", {{ body: account }});
const problems = [];
const note = (error) => problems.push(error.cause.type);
await logIn(account.email, "wrong").catch(note);
await logIn(account.email, account.password);
const user = await call("GET", "/api/user");
await logOut();
await call("GET", "/api/user").catch(note);
console.log(JSON.stringify([user.email, problems, token]));
""",
        encoding="utf-8",
    )
    ended = subprocess.run(
        [get_program("node"), str(file)], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 0, ended.stderr
    email, problems, token = json.loads(ended.stdout)
    assert (email, token) == ("susan@example.com", None)
    assert [re.sub(r".*#", "", problem) for problem in problems] == [
        "credentials-invalid",
        "credentials-missing",
    ]


def test_the_api_reference_is_what_make_reference_writes() -> None:
    assert api_reference.PAGE.read_text(encoding="utf-8") == api_reference.reference()


def test_the_command_reference_is_what_make_reference_writes() -> None:
    assert command_reference.PAGE.read_text(encoding="utf-8") == command_reference.reference()


def test_the_index_lists_every_page() -> None:
    index = page("docs/README.md")
    listed = set(re.findall(r"^\| \[[^]]+\]\(([^)]+)\)", index, re.MULTILINE))
    pages = {file.name for file in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert listed == pages | {"../README.md", "../CHANGELOG.md", "../client/README.md"}

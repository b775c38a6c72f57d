"""No secret is written to a log, to the output of a command, or to the database."""

import asyncio
import base64
import json
import quopri
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, quote_plus, urlencode, urlsplit

import pytest

from tests.harness.api import Answer, Api, basic, bearer
from tests.harness.command_line import manage
from tests.harness.processes import running_server
from tests.harness.raw_http import exchange
from tests.harness.sql import all_text, run_sql

EMAIL = "susan@example.com"
PASSWORD = "first pässword/0+1 of=susan"
NEW_PASSWORD = "second pässword/0+1 of=susan"
WRONG_PASSWORD = "mistyped pässword/0+1 of=susan"
# A user types the password into the field of the email address, and the other way round.
PASSWORD_AS_EMAIL = "pässword-typed@wrong-field.example"
EMAIL_AS_PASSWORD = "address.typed@wrong-field.example"
KEY, OLD_KEY = "the-newest/signing+key=of-the-test", "the-oldest/signing+key=of-the-test"
SHORT_KEY = "too-short/signing+key="
PEPPER = "the-only/pepper+of=the-test-0123456789"
DATABASE_PASSWORD = "the pässword/of+the=database"
DIRECT_PASSWORD = "the pässword/of+the=direct connection"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MADE_UP = [PASSWORD, NEW_PASSWORD, WRONG_PASSWORD, PASSWORD_AS_EMAIL, EMAIL_AS_PASSWORD]
CONFIGURED = [KEY, OLD_KEY, SHORT_KEY, PEPPER, DATABASE_PASSWORD, DIRECT_PASSWORD]


def with_password(dsn: str, password: str) -> str:
    return dsn.replace("userauth@", f"userauth:{quote(password, safe='')}@")


@dataclass(frozen=True)
class Client:
    """A client, with its secret and the previous one."""

    id: str
    secret: str
    old_secret: str


def spellings(secret: str) -> Iterator[str]:
    """Return a secret in the encodings in which it may be written."""
    content = secret.encode()
    yield secret
    yield quote(secret, safe="")
    yield quote(secret)
    yield quote_plus(secret)
    yield quopri.encodestring(content).decode()
    yield json.dumps(secret)[1:-1]
    yield repr(content)[2:-1]
    yield secret.encode("unicode_escape").decode()
    yield content.decode("latin1")
    yield content.hex()
    for before in range(3):
        # In the middle of other bytes: what depends on its neighbours is cut off.
        encoded = base64.b64encode(bytes(before) + content + bytes(3))[4 if before else 0 :]
        yield encoded[: (len(content) - 3) // 3 * 4].decode()


def found(secrets: Iterable[str], text: str) -> list[str]:
    """Return the secrets in a text, in any encoding and case."""
    folded = text.lower()
    return [
        secret
        for secret in secrets
        if any(spelling.lower() in folded for spelling in spellings(secret))
    ]


@pytest.mark.parametrize(
    "text",
    [
        PASSWORD,
        PASSWORD.upper(),
        basic(EMAIL, PASSWORD),
        basic("s@example.com", PASSWORD),
        basic("su@example.com", PASSWORD),
        urlencode({"password": PASSWORD}),
        quote(PASSWORD),
        quopri.encodestring(PASSWORD.encode()).decode(),
        json.dumps({"password": PASSWORD}),
        repr({"password": PASSWORD.encode()}),
        PASSWORD.encode().decode("latin1"),
        PASSWORD.encode().hex(),
    ],
)
def test_a_secret_is_found_in_every_encoding(text: str) -> None:
    assert found([*MADE_UP, *CONFIGURED], f"GET /api/user {text} 200") == [PASSWORD]


@contextmanager
def broken_inserts(dsn: str) -> Iterator[None]:
    """Make Postgres reject every new user, with a message that contains the whole row."""
    run_sql(dsn, "ALTER TABLE users ADD CONSTRAINT broken CHECK (email_key = '') NOT VALID")
    try:
        yield
    finally:
        run_sql(dsn, "ALTER TABLE users DROP CONSTRAINT broken")


async def use_everything(url: str, dsn: str, client: Client) -> list[str]:
    """Send every secret in every form, valid and invalid; return the secrets created meanwhile."""

    async def send(method: str, path: str, shown: str | None = None, body: object = None) -> Answer:
        return await api.request(method, path, authorization=shown, json_body=body)

    api = Api(url)
    registration = {"email": EMAIL, "password": PASSWORD, "name": "Susan"}
    with broken_inserts(dsn):
        assert (await send("POST", "/api/user/register", body=registration)).status == 500
    for status in (201, 409):
        assert (await send("POST", "/api/user/register", body=registration)).status == status
    for wrong in ({"email": PASSWORD}, {PASSWORD: PASSWORD}, {"name": [PASSWORD]}):
        fields = {"email": EMAIL, "password": PASSWORD, **wrong}
        assert (await send("POST", "/api/user/register", body=fields)).status == 422
    tokens = [await api.token(EMAIL, PASSWORD) for _ in range(3)]
    forged = [tokens[0][:-4] + "AAAA", tokens[0] + ".more"]
    await send_credentials(send, tokens, forged)
    await send_malformed(api, tokens[0])
    await ask_as_a_service(api, client, [*tokens, *forged])
    for status, body in (
        (422, {"password": NEW_PASSWORD, "current_password": WRONG_PASSWORD}),
        (422, {"password": NEW_PASSWORD + "\n"}),
        (200, {"password": NEW_PASSWORD, "current_password": PASSWORD}),
    ):
        assert (await send("PATCH", "/api/user", bearer(tokens[0]), body)).status == status
    assert (await send("PATCH", "/api/user", bearer(tokens[0]), {"name": "S"})).status == 200
    hashes = [row[0] for row in run_sql(dsn, "SELECT password_hash FROM users")]
    assert (await send("POST", "/api/user/logout", bearer(tokens[0]))).status == 204
    assert (await send("DELETE", "/api/user/tokens", basic(EMAIL, NEW_PASSWORD))).status == 200
    run_sql(dsn, "UPDATE users SET disabled_at = now()")
    assert (await send("GET", "/api/user/login", basic(EMAIL, NEW_PASSWORD))).status == 403
    for _ in range(12):
        limited = await send("GET", "/api/user/login", basic(EMAIL, WRONG_PASSWORD))
    assert limited.status == 429
    api.close()
    return [*tokens, *forged, *hashes]


async def send_credentials(
    send: Callable[..., Awaitable[Answer]], tokens: list[str], forged: list[str]
) -> None:
    """Send credentials in all forms, valid and invalid."""
    right = [basic(EMAIL, PASSWORD)]
    for token in tokens:
        right += [bearer(token), f"Basic {token}", basic(token), basic(token, WRONG_PASSWORD)]
    wrong = [
        basic(EMAIL, WRONG_PASSWORD),
        basic(EMAIL, EMAIL_AS_PASSWORD),
        basic(PASSWORD, EMAIL),
        basic(PASSWORD_AS_EMAIL, EMAIL_AS_PASSWORD),
        basic(PASSWORD),
        basic(EMAIL, PASSWORD + "\n"),
        f"Digest {quote(PASSWORD)}",
        f"Basic {quote(PASSWORD)}",
        f"Bearer {quote(PASSWORD)}",
        basic(EMAIL, PASSWORD) + "%",
        quote(PASSWORD),
    ]
    for form in forged:
        wrong += [bearer(form), f"Basic {form}", basic(form)]
    for path in ("", "/login", "/tokens", "/events"):
        for number, shown in enumerate(right + wrong):
            answer = await send("GET", f"/api/user{path}?token={quote(PASSWORD)}", shown)
            is_token = 0 < number < len(right)
            is_correct = number < len(right) and not (is_token and path == "/login")
            assert answer.status == (422 if is_correct else 401)
            if is_correct:
                assert (await send("GET", f"/api/user{path}", shown)).status == 200
    for shown in right:
        assert (await send("GET", "/api/verify", shown)).status == 200
    for email, password, status in (
        (EMAIL, PASSWORD, 200),
        (EMAIL, WRONG_PASSWORD, 401),
        (PASSWORD_AS_EMAIL, EMAIL_AS_PASSWORD, 401),
        (EMAIL, PASSWORD + "\n", 401),
    ):
        body = {"email": email, "password": password}
        assert (await send("POST", "/api/user/login", body=body)).status == status


async def send_malformed(api: Api, token: str) -> None:
    """Send secrets in malformed HTTP and malformed JSON."""
    for text in (PASSWORD, token, basic(EMAIL, PASSWORD)):
        for line in (
            f"Authorization {text}",
            f"Authorization : {text}",
            f"Authorization: Basic\r\n {text}",
            f"Authorization: Bearer {text}\x00",
            f"Authorization: Basic {text}\x7f\x01",
            f"Cookie: session={text}",
            f"X-Request-ID: {text} {text}",
            f"Content-Length: {text}",
            f"Transfer-Encoding: {text}",
            f"{text}: x",
        ):
            head = f"GET /api/user HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{line}\r\n\r\n"
            assert await exchange(api, head.encode())
        for content in (text, f'{{"password": "{text}', f'"{text}"', text * 2_000):
            for query, statuses in (("", {400, 413}), (f"?password={quote(text)}", {413, 422})):
                answer = await api.request(
                    "POST",
                    f"/api/user/register{query}",
                    body=content.encode(),
                    headers={"Content-Type": "application/json"},
                )
                assert answer.status in statuses


async def ask_as_a_service(api: Api, client: Client, tokens: list[str]) -> None:
    """Introspect and revoke tokens, with valid and invalid secrets."""
    bad = [basic(client.id, PASSWORD), basic(client.secret, client.id), bearer(client.secret)]
    for status, shown in (
        (200, basic(client.id, client.secret)),
        (200, basic(client.id, client.old_secret)),
        *((401, shown) for shown in bad),
    ):
        for token in tokens:
            for query, expected in (("", status), (f"?token={token}", 422)):
                answer = await api.request(
                    "POST",
                    f"/api/token/introspect{query}",
                    authorization=shown,
                    body=urlencode({"token": token, "client_secret": client.secret}).encode(),
                    headers=FORM,
                )
                assert answer.status in {status, expected}
    for body in (f"token={client.secret}&token={PASSWORD}", f"{client.secret}=%ff", PASSWORD):
        answer = await api.request(
            "POST",
            "/api/token/revoke",
            authorization=basic(client.id, client.secret),
            body=body.encode(),
            headers=FORM,
        )
        assert answer.status in {400, 422}


def add_client(variables: dict[str, str]) -> Client:
    made = json.loads(manage("clients", "add", "billing", "--json", **variables).stdout)
    rotated = manage("clients", "rotate", "billing", **variables).stdout.split()
    return Client(made["id"], rotated[rotated.index("secret") + 1], made["secret"])


def log_of_postgres(dsn: str) -> str:
    # Its socket is in the directory of its data.
    [folder] = parse_qs(urlsplit(dsn).query)["host"]
    logs = list(Path(folder).rglob("*.log"))
    assert logs
    return "\n".join(path.read_text(errors="replace") for path in logs)


@pytest.mark.parametrize("keys_are_in_a_file", [False, True])
def test_no_secret_is_written_anywhere(
    dsn: str, tmp_path: Path, *, keys_are_in_a_file: bool
) -> None:
    file = tmp_path / "keys"
    file.touch(0o600)
    file.write_text(f"{KEY}\n{OLD_KEY}\n", encoding="ascii")
    variables = {
        "DATABASE_URL": with_password(dsn, DATABASE_PASSWORD),
        "USERAUTH_DATABASE__DIRECT_URL": with_password(dsn, DIRECT_PASSWORD),
        "PASSWORD_PEPPER": PEPPER,
        "SECRET_KEYS": "" if keys_are_in_a_file else f"{KEY},{OLD_KEY}",
        "USERAUTH_TOKENS__KEYS_FILE": str(file) if keys_are_in_a_file else "",
    }
    client = add_client(variables)
    with running_server(variables, tmp_path / "log", preloaded=False) as server:
        made = asyncio.run(use_everything(server.url, dsn, client))
        if keys_are_in_a_file:
            server.reload("loaded 2 signing keys")
            file.write_text(f"{KEY}\n{SHORT_KEY}\n", encoding="ascii")
            server.reload("The old keys remain in use.")
        else:
            server.reload("restart the server")
        command = Path(f"/proc/{server.process.pid}/cmdline").read_text(encoding="utf-8")
        assert server.stop() == 0
        assert server.process.stdout is not None
        written = server.greeting + server.process.stdout.read() + server.written()
    in_postgres = log_of_postgres(dsn)
    secrets = [*MADE_UP, *CONFIGURED, client.secret, client.old_secret, *made]
    # The search must have read these lines.
    for line in (
        r"INFO POST /api/user/register 201 \d",
        r"INFO POST /api/user/register 500 \d",
        r"INFO GET /api/user/login 200 \d",
        r"INFO GET /api/user/login 401 \d",
        r"INFO POST /api/token/introspect 200 \d",
        r"ERROR request failed method=POST route=\S+ request=\S+\nTraceback",
    ):
        assert re.search(line, written)
    assert "server.py" in command
    assert "database system is ready" in in_postgres
    for text in (written, command, in_postgres):
        assert found([*secrets, EMAIL], text) == []
    # Of passwords, only hashes are stored.
    kept = [secret for secret in secrets if secret.startswith("$")]
    assert found([*secrets, EMAIL], all_text(dsn)) == [*kept, EMAIL]
    assert len(kept) == 1
    assert run_sql(dsn, "SELECT sum(times) > 20 FROM events WHERE kind = 'password-failed'") == [
        (True,)
    ]

"""A DATABASE_URL that leads to no usable Postgres is reported in one sentence."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from tests.harness.command_line import manage
from tests.harness.memory_directory import new_directory
from tests.harness.processes import free_port, run_to_the_end
from tests.harness.replication import Node, primaries, replicated

SECRET = "hunter2hunter2"
USER = f"userauth:{SECRET}@"
# By name: the URL, the exit code, and a part of the sentence.
CASES = {
    "the host is unknown": (f"{USER}nosuch.invalid/x", 1, "nosuch.invalid cannot be resolved"),
    "the host refuses": (f"{USER}{{refusing}}/x", 1, ": Connection refused. Check DATABASE_URL"),
    "the host is silent": (f"{USER}{{silent}}/x", 1, ": no response in time. Check DATABASE_URL"),
    "no host is usable": (
        f"{USER}{{refusing}},{{standby}},{{silent}}/userauth",
        1,
        "Name the primary in DATABASE_URL, and check that it is running.",
    ),
    "it is no Postgres": (f"{USER}{{web}}/x", 1, "Postgres does not respond: 127.0.0.1 port"),
    "it is a standby": (f"{USER}{{standby}}/userauth", 1, "is a standby. Name the primary"),
    "it is read-only": (f"{USER}{{primary}}/reading", 1, "default_transaction_read_only is on"),
    "the password is wrong": (
        f"strict:{SECRET}@{{primary}}/userauth",
        1,
        'password authentication failed for user "strict"',
    ),
    "the password is missing": ("strict@{primary}/userauth", 1, "no password supplied"),
    "the role has too many connections": (
        f"limited:{SECRET}@{{primary}}/userauth",
        1,
        'role "limited". Raise the limit of connections, or lower database.pool_max.',
    ),
    "it is stopping": (
        f"{USER}{{stopping}}/userauth",
        1,
        "shutting down. Try again when Postgres accepts connections.",
    ),
    "the role is unknown": (f"no:{SECRET}@{{primary}}/userauth", 1, 'role "no" does not exist'),
    "the database is unknown": (f"{USER}{{primary}}/no", 1, 'database "no" does not exist'),
    "it has no TLS": (
        f"{USER}{{primary}}/userauth?sslmode=require",
        1,
        "rejected the connection: 127.0.0.1 port",
    ),
    "an option is unknown": (f"{USER}{{primary}}/x?bogus=1", 2, "DATABASE_URL is malformed"),
    "a value is invalid": (f"{USER}{{primary}}/x?sslmode=bogus", 2, "has an invalid sslmode value"),
    "the port is invalid": (f"{USER}127.0.0.1:99999/x", 2, "has an invalid port number"),
    "a label is too long": (f"{USER}{'a' * 64}.example/x", 2, "must have 1 to 63 characters"),
    "a value is no number": (
        f"{USER}{{primary}}/x?keepalives={SECRET}",
        2,
        "invalid keepalives value",
    ),
    "a timeout is no number": (
        f"{USER}{{primary}}/x?tcp_user_timeout={SECRET}",
        2,
        "has an invalid tcp_user_timeout value",
    ),
    "the version of TLS is unknown": (
        f"{USER}{{primary}}/x?ssl_min_protocol_version={SECRET}",
        2,
        "has an invalid ssl_min_protocol_version value",
    ),
    "the service is unknown": (f"{USER}{{primary}}/x?service={SECRET}", 2, "invalid service value"),
    "the address is a name": (f"{USER}a/x?hostaddr={SECRET}", 2, "has an invalid hostaddr value"),
    "the path is too long": (
        f"{USER}/x?host=/{'a' * 200}",
        2,
        "an invalid Unix-domain socket path",
    ),
    "sslmode is too weak": (
        f"{USER}{{primary}}/x?sslmode=require&sslrootcert=system",
        2,
        "has an invalid sslmode value",
    ),
    "a port is missing": (f"{USER}a,b,c/x?port=1,2", 2, "different numbers of hosts"),
    "a standby is wanted": (
        f"{USER}{{primary}}/userauth?target_session_attrs=standby",
        2,
        "the server uses only a primary",
    ),
    "the name has two hosts": (f"{USER}a/x?host=b", 2, "before the path or as ?host="),
    "a character is not escaped": (f"userauth:{SECRET}/@a/x", 2, "written as %2F"),
    "there is no host": (f"{USER}/x", 2, "must name a host"),
}


@pytest.fixture(scope="module")
def places(stopped_cluster: Path) -> Iterator[dict[str, str]]:
    """Yield the addresses of a primary, a standby, and of what is neither."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(new_directory()))
        pair = stack.enter_context(replicated(stopped_cluster, folder))
        _be_strict(pair.primary)
        pair.primary.sql("CREATE DATABASE reading")
        pair.primary.sql("ALTER DATABASE reading SET default_transaction_read_only = on")
        [stopping] = stack.enter_context(primaries(stopped_cluster, folder, 2))
        stack.enter_context(closing(psycopg2.connect(stopping.url)))
        stopping.begin_stop()
        silent = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
        web = stack.enter_context(web_server())
        ports = {
            "primary": pair.primary.port,
            "standby": pair.standby.port,
            "stopping": stopping.port,
            "silent": silent.getsockname()[1],
            "refusing": free_port(),
            "web": web,
        }
        yield {name: f"127.0.0.1:{port}" for name, port in ports.items()}


class _BadRequest(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(8)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@contextmanager
def web_server() -> Iterator[int]:
    """Run a server that rejects what is not HTTP; yield its port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _BadRequest) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def _be_strict(node: Node) -> None:
    """Create a role that needs a password."""
    rules = node.data / "pg_hba.conf"
    rules.write_text(f"host all strict all scram-sha-256\n{rules.read_text('utf-8')}", "utf-8")
    node.sql("CREATE ROLE strict LOGIN PASSWORD 'right'")
    node.sql("CREATE ROLE limited LOGIN CONNECTION LIMIT 0")
    node.sql("SELECT pg_reload_conf()")
    node.wait_for("count(*) > 0 FROM pg_hba_file_rules WHERE user_name = '{strict}'")


def limits(template: str) -> dict[str, str]:
    """Return a time limit for connections: a short one if a host is silent."""
    seconds = "2" if "{silent}" in template else "30"
    return {"USERAUTH_DATABASE__ACQUIRE_TIMEOUT_SECONDS": seconds}


def sentence_of(code: int, stdout: str, stderr: str, *, expected_code: int) -> str:
    """Return the one sentence that a process that fails has written."""
    assert (code, stdout) == (expected_code, ""), stderr
    [sentence] = stderr.splitlines()
    assert SECRET not in sentence
    return sentence


@pytest.mark.parametrize("case", CASES)
def test_a_url_without_a_usable_postgres_is_reported_in_one_sentence(
    places: dict[str, str], case: str
) -> None:
    template, code, part = CASES[case]
    url = f"postgresql://{template.format(**places)}"
    for command in (["check"], ["users", "list"], ["backup", "-"]):
        # A command that blocks waits ten seconds for a silent host.
        if command[0] != "backup" or "{silent}" not in template:
            ended = manage(*command, DATABASE_URL=url, **limits(template))
            sentence = sentence_of(ended.returncode, ended.stdout, ended.stderr, expected_code=code)
            assert part in sentence or command[0] == "backup"


@pytest.mark.parametrize(
    ("template", "code", "part"),
    [
        ("{USER}{refusing}/x", 1, ": Connection refused. Check database.direct_url, and that"),
        ("{USER}{standby}/userauth", 1, "Name the primary in database.direct_url."),
        ("no@{primary}/userauth", 1, 'role "no" does not exist. Check database.direct_url.'),
        ("{USER}{primary}/x?bogus=1", 2, "database.direct_url is malformed: "),
        ("{USER}{primary}/x?sslmode=bogus", 2, "database.direct_url has an invalid sslmode value"),
        ("{USER}a,b,c/x?port=1,2", 2, "database.direct_url has different numbers of hosts"),
    ],
)
def test_an_error_names_the_direct_url_if_that_is_used(
    places: dict[str, str], template: str, code: int, part: str
) -> None:
    direct = f"postgresql://{template.format(USER=USER, **places)}"
    variables = {
        "DATABASE_URL": f"postgresql://{USER}{places['primary']}/userauth",
        "USERAUTH_DATABASE__DIRECT_URL": direct,
        **limits(template),
    }
    for command in (["check"], ["check", "--database"], ["users", "list"], ["backup", "-"]):
        ended = manage(*command, **variables)
        sentence = sentence_of(ended.returncode, ended.stdout, ended.stderr, expected_code=code)
        assert part in sentence
        assert "DATABASE_URL" not in sentence


@pytest.mark.parametrize(
    "case",
    ["no host is usable", "the password is wrong", "a label is too long", "there is no host"],
)
def test_a_start_reports_what_a_check_does(places: dict[str, str], case: str) -> None:
    template, code, part = CASES[case]
    url = f"postgresql://{template.format(**places)}"
    ended = run_to_the_end(DATABASE_URL=url, **limits(template))
    assert part in sentence_of(ended.returncode, ended.stdout, ended.stderr, expected_code=code)


@pytest.mark.parametrize("scheme", ["postgres+asyncpg", "postgresql+psycopg2", "mysql", "http"])
def test_a_url_with_another_scheme_is_reported_in_one_sentence(scheme: str) -> None:
    ended = manage("check", DATABASE_URL=f"{scheme}://{USER}db.example/x")
    sentence = sentence_of(ended.returncode, ended.stdout, ended.stderr, expected_code=2)
    assert "postgresql://" in sentence

"""Rotation of the signing keys while the server runs."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from uuid import uuid4

import pytest

from rules.keys import add_key, remove_keys
from rules.tokens import TokenClaims, TokenSigner
from tests.harness.api import Api, bearer
from tests.harness.child_processes import Process, read_greeting, stop
from tests.harness.configuration import KEY
from tests.harness.processes import ServerProcess, running_server, start
from tests.harness.row_locks import holding

EMAIL = "susan@example.com"
OLD = "an-old-signing-key-for-the-tests-0"
GUESSED = "change-me-change-me-change-me-change-me"
CLIENTS = 16


def write(file: Path, content: str, mode: int = 0o600) -> None:
    file.write_text(content)
    file.chmod(mode)


def variables_of(dsn: str, file: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": dsn,
        "SECRET_KEYS": "",
        "USERAUTH_TOKENS__KEYS_FILE": str(file),
        # The load keeps logging in, and must not revoke the first token.
        "USERAUTH_TOKENS__MAX_PER_USER": "10000",
    }


def with_a_keys_file(
    dsn: str, folder: Path, use: Callable[[ServerProcess, Path], Coroutine[None, None, None]]
) -> str:
    """Run a server with a keys file; return what it logged."""
    file = folder / "keys"
    write(file, OLD + "\n")
    with running_server(variables_of(dsn, file), folder / "log") as server:
        asyncio.run(use(server, file))
        assert server.stop() == 0
        return server.written()


async def status(api: Api, token: str) -> int:
    return (await api.request("GET", "/api/user", authorization=bearer(token))).status


def test_a_rotation_under_load_fails_no_request(dsn: str, tmp_path: Path) -> None:
    async def use(server: ServerProcess, file: Path) -> None:
        api = Api(server.url)
        old = await api.registered_token()
        statuses: Counter[int] = Counter()
        is_over = asyncio.Event()

        async def load() -> None:
            while not is_over.is_set():
                fresh = await api.token()
                for token in (old, fresh):
                    statuses[await status(api, token)] += 1

        running = [asyncio.create_task(load()) for _ in range(CLIENTS)]
        for _ in range(5):
            add_key(file)
            await asyncio.to_thread(server.reload, "SIGHUP: ")
            await asyncio.sleep(0.05)
        is_over.set()
        await asyncio.gather(*running)
        assert set(statuses) == {200}
        assert statuses[200] > CLIENTS
        api.close()

    assert "SIGHUP: loaded 6 signing keys" in with_a_keys_file(dsn, tmp_path, use)


def test_tokens_of_an_old_key_are_valid_until_it_is_removed(dsn: str, tmp_path: Path) -> None:
    async def use(server: ServerProcess, file: Path) -> None:
        api = Api(server.url)
        old = await api.registered_token()
        add_key(file)
        await asyncio.to_thread(server.reload, "loaded 2 signing keys")
        new = await api.token()
        assert [await status(api, old), await status(api, new)] == [200, 200]
        remove_keys(file, [OLD])
        await asyncio.to_thread(server.reload, "loaded 1 signing keys")
        assert [await status(api, old), await status(api, new)] == [401, 200]
        api.close()

    with_a_keys_file(dsn, tmp_path, use)


def test_the_old_keys_remain_in_use_where_the_file_is_invalid(dsn: str, tmp_path: Path) -> None:
    async def use(server: ServerProcess, file: Path) -> None:
        api = Api(server.url)
        token = await api.registered_token()
        for content, mode in (("short\n", 0o600), ("", 0o600), (OLD + "\n", 0o644)):
            write(file, content, mode)
            await asyncio.to_thread(server.reload, "The old keys remain in use.")
            assert await status(api, token) == 200
        write(file, "")
        await asyncio.to_thread(server.reload, "The old keys remain in use.")
        assert await status(api, await api.token()) == 200
        api.close()

    written = with_a_keys_file(dsn, tmp_path, use)
    assert OLD not in written
    assert "Traceback" not in written


def test_in_production_the_old_keys_remain_in_use_where_the_file_has_a_guessable_key(
    dsn: str, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    write(file, KEY + "\n")
    expired = TokenClaims(str(uuid4()), 1_700_000_000)
    forged = TokenSigner([GUESSED], time.time).issue(expired)
    variables = variables_of(dsn, file) | {
        "APP_SETTINGS": "production",
        "USERAUTH_SERVER__REQUIRE_HTTPS": "false",
    }

    async def use(server: ServerProcess) -> None:
        api = Api(server.url)
        token = await api.registered_token()
        write(file, f"{GUESSED}\n{KEY}\n")
        # A token with an unknown key makes the server read the file, too.
        rejected = await api.request("GET", "/api/user", authorization=bearer(forged))
        assert rejected.problem == "token-invalid"
        await asyncio.to_thread(server.reload, "The old keys remain in use.")
        assert await status(api, token) == 200
        api.close()

    with running_server(variables, tmp_path / "log") as server:
        asyncio.run(use(server))
        assert server.stop() == 0
        assert "SIGHUP: loaded" not in server.written()


@pytest.mark.parametrize("is_reloaded", [False, True])
def test_a_key_added_while_a_server_starts_is_used(
    dsn: str, tmp_path: Path, *, is_reloaded: bool
) -> None:
    file, log = tmp_path / "keys", tmp_path / "log"
    write(file, OLD + "\n")

    async def use(process: Process) -> None:
        with holding(dsn, "LOCK TABLE userauth_schema") as migration:
            starting = asyncio.create_task(asyncio.to_thread(read_greeting, process, log))
            await migration.sees_waiting(starting)
            expired = TokenSigner([add_key(file)], time.time).issue(
                TokenClaims(str(uuid4()), 1_700_000_000)
            )
            if is_reloaded:
                process.send_signal(signal.SIGHUP)
        server = ServerProcess(process, await starting, log)
        if is_reloaded:
            await asyncio.to_thread(server.wait_for, "SIGHUP: loaded 2 signing keys")
        api = Api(server.url)
        answer = await api.request("GET", "/api/user", authorization=bearer(expired))
        assert answer.problem == "token-expired"
        api.close()

    with log.open("a", encoding="utf-8") as stream:
        process = start(variables_of(dsn, file), stream)
    try:
        asyncio.run(use(process))
    finally:
        stop(process)


def test_keys_of_the_environment_are_not_reloaded(dsn: str, tmp_path: Path) -> None:
    async def use(server: ServerProcess) -> None:
        api = Api(server.url)
        token = await api.registered_token()
        await asyncio.to_thread(server.reload, "restart the server")
        assert await status(api, token) == 200
        api.close()

    with running_server({"DATABASE_URL": dsn}, tmp_path / "log") as server:
        asyncio.run(use(server))


def test_a_process_without_a_reload_accepts_tokens_of_the_new_key(dsn: str, tmp_path: Path) -> None:
    async def use(server: ServerProcess, file: Path) -> None:
        with running_server(variables_of(dsn, file), tmp_path / "other") as other:
            apis = [Api(server.url), Api(other.url)]
            old = await apis[0].registered_token()
            add_key(file)
            await asyncio.to_thread(server.reload, "loaded 2 signing keys")
            new = await apis[0].token()
            assert [await status(apis[1], token) for token in (new, old)] == [200, 200]
            # A forged token does not, and an invalid file changes nothing.
            write(file, "short")
            assert [await status(apis[1], token) for token in (new + "x", new)] == [401, 200]
            for api in apis:
                api.close()

    with_a_keys_file(dsn, tmp_path, use)

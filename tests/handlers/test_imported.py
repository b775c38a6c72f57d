"""Users with the hash of another service."""

import unicodedata

import bcrypt
import pytest

from rules.rejections import RejectionTimes
from tests.harness.api import Api
from tests.harness.imported_users import by_bcrypt
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
LONG = "0123456789" * 8
NFD = unicodedata.normalize("NFD", "größere Pferde")


async def imported(api: Api, dsn: str, stored: str) -> None:
    """Register a user and give it the hash of another service."""
    await api.register(EMAIL)
    run_sql(dsn, "UPDATE users SET password_hash = %s", (stored,))


def stored_hash(dsn: str) -> str:
    return str(run_sql(dsn, "SELECT password_hash FROM users")[0][0])


@pytest.mark.gen_test
async def test_a_wrong_end_that_bcrypt_truncates_does_not_become_the_password(
    api: Api, dsn: str
) -> None:
    cut = bcrypt.hashpw(LONG.encode()[:72], bcrypt.gensalt(4)).decode()
    await imported(api, dsn, cut)
    for password in (LONG[:72] + "WRONG", LONG, LONG[:72] + "WRONG"):
        assert (await api.log_in(EMAIL, password)).status == 200
    assert stored_hash(dsn) == cut
    assert (await api.log_in(EMAIL, LONG[:72])).status == 200
    assert stored_hash(dsn).startswith("$userauth-")


@pytest.mark.parametrize("password", ["wrong password", NFD, "x" * 1000])
@pytest.mark.gen_test
async def test_every_rejection_is_delayed_and_no_success_is(
    api: Api, dsn: str, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    delays: list[float] = []

    def delay_seconds(_times: RejectionTimes, elapsed: float, *, forms: int) -> float:
        delays.append(elapsed * forms)
        return 0.0

    await imported(api, dsn, by_bcrypt("correct horse"))
    monkeypatch.setattr(RejectionTimes, "delay_seconds", delay_seconds)
    for email in (EMAIL, "unknown@example.com"):
        assert (await api.log_in(email, password)).status == 401
    assert len(delays) == 2
    assert (await api.log_in(EMAIL, "correct horse")).status == 200
    assert len(delays) == 2

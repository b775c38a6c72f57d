"""Tokens, as services see them."""

import pytest

from handlers.application import Application
from tests.harness.api import Api
from tests.harness.sql import run_sql


@pytest.mark.gen_test
async def test_the_token_of_a_disabled_user_is_not_valid(
    api: Api, app: Application, dsn: str
) -> None:
    token = await api.registered_token()
    assert await app.services.tokens.introspect(token) is not None
    # Without a revocation, which the command makes as well.
    run_sql(dsn, "UPDATE users SET disabled_at = now()")
    assert await app.services.tokens.introspect(token) is None


@pytest.mark.gen_test
async def test_an_introspection_is_a_use_of_the_token(api: Api, app: Application, dsn: str) -> None:
    token = await api.registered_token()
    await app.services.tokens.introspect(token)
    await app.services.usage.write()
    assert run_sql(dsn, "SELECT last_used_at IS NOT NULL FROM tokens") == [(True,)]

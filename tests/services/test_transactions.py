"""Failures of the database, as services raise them."""

import pytest

from db.lookups import open_lookups
from db.pool import Database
from rules.errors import DatabaseUnavailable
from services.transactions import answer
from tests.db.test_pool import use


def test_a_lookup_after_the_stop_raises_database_unavailable(dsn: str) -> None:
    async def work(database: Database) -> None:
        lookups = open_lookups(database)
        await lookups.close()
        with pytest.raises(DatabaseUnavailable):
            await answer(lookups.users_of_tokens.find("0"))

    use(dsn, work)

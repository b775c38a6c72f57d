"""The settings that Postgres has while it answers a lookup."""

from db.batch_loader import BatchLoader, LookupQuery
from db.pool import Database

_SQL = "SELECT name, current_setting(name) FROM unnest($1) AS asked (name)"


async def setting_of_lookups(database: Database, name: str) -> object:
    """Return the value of a setting, as a lookup finds it."""
    query = LookupQuery("settings", _SQL, "text", lambda row: row[0])
    loader = BatchLoader(database, query)
    try:
        return await loader.find(name)
    finally:
        await loader.close()

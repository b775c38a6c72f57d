"""The digest_key table: the key of all digests in the database."""

from db.pool import Connection

_FIND = "SELECT key FROM digest_key"


async def get_digest_key(connection: Connection) -> str:
    """Return the key; raises LookupError."""
    row = await connection.fetch_one(_FIND)
    if row is None:
        raise LookupError("The table digest_key is empty; schema.sql inserts its row.")
    return str(row[0])

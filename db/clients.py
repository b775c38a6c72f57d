"""The clients table. Its times are those of Postgres, since the clocks of hosts may differ."""

from db.batch_loader import LookupQuery
from db.pool import Connection
from db.rows import ClientRow, ClientSecretRow

# The digests of secrets by client id, for BatchLoader, including the old one while it is valid.
FIND_SECRETS = LookupQuery(
    name="find_secrets_of_clients",
    sql="""
SELECT
    id, secret_digest, CASE WHEN clock_timestamp() < old_secret_until THEN old_secret_digest END
FROM clients
WHERE id = ANY($1)
""",
    key_type="text",
    make=lambda row: ClientSecretRow(bytes(row[0]), None if row[1] is None else bytes(row[1])),
)

_INSERT = """
INSERT INTO clients (id, name, secret_digest, created_at, secret_made_at)
VALUES (%s, %s, %s, now(), now())
ON CONFLICT (name) DO NOTHING
"""


async def insert_client(
    connection: Connection, client_id: str, *, name: str, digest: bytes
) -> bool:
    """Insert a client; return False if the name is taken."""
    return await connection.execute(_INSERT, (client_id, name, digest)) == 1


_FIND_ALL = """
SELECT id, name, created_at, secret_made_at, old_secret_until
FROM clients
ORDER BY name
"""


async def find_all(connection: Connection) -> list[ClientRow]:
    """Return all clients, ordered by name."""
    return [ClientRow(*row) for row in await connection.fetch_all(_FIND_ALL)]


_ROTATE = """
UPDATE clients
SET
    old_secret_digest = secret_digest,
    old_secret_until = statement_timestamp() + make_interval(secs => %s),
    secret_digest = %s, secret_made_at = now()
WHERE name = %s
RETURNING id
"""


async def replace_secret(
    connection: Connection, name: str, *, digest: bytes, keep_old_seconds: int
) -> str | None:
    """Replace the secret of a client; return its id, or None if no client has the name."""
    row = await connection.fetch_one(_ROTATE, (keep_old_seconds, digest, name))
    return None if row is None else str(row[0])


_DELETE = "DELETE FROM clients WHERE name = %s RETURNING id"


async def delete_client(connection: Connection, name: str) -> str | None:
    """Delete a client; return its id, or None if no client has the name."""
    row = await connection.fetch_one(_DELETE, (name,))
    return None if row is None else str(row[0])

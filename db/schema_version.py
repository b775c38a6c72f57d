"""The version of the schema that this server knows, and the schemas that it must not use."""

VERSION = 5


def too_old(version: int, compatible_since: int) -> str | None:
    """Return why this server must not use a schema; None if it may.

    ``compatible_since`` is the earliest version that a server must have.
    """
    if compatible_since <= VERSION:
        return None
    return (
        f"The database has schema version {version}, which servers of version {compatible_since}"
        f" and later support, and this server has version {VERSION}: start a newer server"
    )

"""The secrets of messages in the database, as the sender derives them."""

import os
from pathlib import Path
from tempfile import gettempdir

from rules.mail_secrets import MailSecrets, derive_secrets
from rules.message_kinds import MessageKind
from tests.harness.configuration import KEY
from tests.harness.sql import run_sql

# A folder holds 99 messages of one time, kind and recipient: each process of tests has its own, and
# empties it after each application.
MAIL_FOLDER = Path(gettempdir()) / f"userauth-test-mail-{os.getuid()}-{os.getpid()}"
# Turns mail on, for tests that read no message.
MAIL = {
    "MAIL__URL": f"folder:{MAIL_FOLDER}",
    "MAIL__FROM": "Example <no-reply@example.com>",
}


def last_message(dsn: str, kind: MessageKind, recipient: str | None = None) -> str:
    """Return the id of the newest message of a kind, optionally to an address."""
    rows = run_sql(
        dsn,
        "SELECT id FROM messages WHERE kind = %s AND (%s::text IS NULL OR recipient = %s)"
        " ORDER BY created_at DESC, due_at DESC LIMIT 1",
        (kind, recipient, recipient),
    )
    return str(rows[0][0])


def secrets_of(dsn: str, message_id: str, key: str = KEY) -> MailSecrets:
    """Return the token and the code of a message."""
    [(kind, nonce)] = run_sql(dsn, "SELECT kind, nonce FROM messages WHERE id = %s", (message_id,))
    return derive_secrets(key, kind, message_id, nonce)

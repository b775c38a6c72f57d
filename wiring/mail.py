"""The sender of messages, and the relay that the settings name."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from db.errors import DatabaseError
from db.pool import Database
from mail.backlog import Backlog
from mail.delivery import Delivery
from mail.messages import make_envelope
from mail.relay import make_relay
from mail.sender import Sender
from mail.trial import send_trial
from ops.metrics import Metrics
from ops.periodic import PeriodicTask
from rules.tokens import TokenSigner
from settings import Settings, SettingsError
from settings.local_origin import shown_host
from settings.mail_url import FolderUrl, SmtpUrl
from wiring.metrics import watch_mail

# How many messages are sent at a time, each over a connection of its own.
_RELAYS = 2


@asynccontextmanager
async def open_sender(
    settings: Settings,
    database: Database,
    signer: TokenSigner,
    clock: Callable[[], float],
    *,
    wake: asyncio.Event,
    metrics: Metrics | None,
) -> AsyncIterator[Sender | None]:
    """Send messages until the end, if the settings name a relay. ``clock`` returns UTC seconds."""
    sender = _make_sender(settings, database, signer, clock, wake)
    if sender is None:
        yield None
        return
    async with AsyncExitStack() as stack:
        stack.push_async_callback(sender.close, settings.server.drain_seconds)
        if metrics is not None:
            backlog = Backlog(database, clock)
            task = PeriodicTask(
                "counting due messages failed", backlog.measure, expected=(DatabaseError,)
            )
            stack.push_async_callback(task.close)
            watch_mail(metrics, sender, backlog)
        yield sender


def _make_sender(
    settings: Settings,
    database: Database,
    signer: TokenSigner,
    clock: Callable[[], float],
    wake: asyncio.Event,
) -> Sender | None:
    url = settings.mail.relay
    if url is None:
        return None
    envelope = make_envelope(settings)
    delivery = Delivery(envelope, find_key=signer.find_key, clock=clock)
    return Sender(
        database,
        delivery,
        relays=[make_relay(url, envelope, delivery.now) for _ in range(_RELAYS)],
        wake=wake,
        per_minute=settings.mail.per_minute,
        clock=time.monotonic,
    )


async def send_test_message(settings: Settings, address: str) -> str:
    """Send a test message; return the location of the relay. Raises MailError, or SettingsError."""
    url = settings.mail.relay
    if url is None or not settings.mail.sender:
        raise SettingsError("mail.url and mail.from must be set: no message is sent without them.")
    envelope = make_envelope(settings)
    relay = make_relay(url, envelope, lambda: datetime.now(UTC))
    await send_trial(relay, envelope, address, datetime.now(UTC))
    return location_of(url)


def mail_location(settings: Settings) -> str | None:
    """Return the location of the relay, without credentials, or None if no messages are sent."""
    url = settings.mail.relay
    return None if url is None else location_of(url)


def location_of(url: SmtpUrl | FolderUrl) -> str:
    """Return the folder, or the host and port."""
    if isinstance(url, FolderUrl):
        return str(_relative(url.path))
    return f"{shown_host(url.host)}:{url.port}"


def _relative(path: Path) -> Path:
    """Return a path as the administrator would type it in the current directory."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

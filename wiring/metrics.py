"""The metrics that are read from other objects at each exposition."""

from db.clock import PostgresClock
from db.lookups import Lookups
from db.pool import Database
from handlers.application import Application
from mail.backlog import Backlog
from mail.sender import Sender
from ops.log_writer import LogWriter
from ops.metrics import Metrics
from rules.hash_queue import HashQueue
from services.core import Core
from services.counts import CommittedCounts


def watch_services(metrics: Metrics, core: Core, queue: HashQueue) -> None:
    """Expose the state of the hash queue and of the database, and the counts of events."""
    _watch_hashes(metrics, queue)
    _watch_database(metrics, core.database, core.lookups)
    _watch_events(metrics, core.audit.counts)


def watch_application(
    metrics: Metrics, application: Application, clock: PostgresClock, log: LogWriter
) -> None:
    """Expose the state of the application, the clock offset, and dropped log lines."""
    metrics.gauge("userauth_requests_running", "Requests in progress.", lambda: application.running)
    metrics.gauge(
        "userauth_draining", "1 while the server stops.", lambda: int(application.draining)
    )
    metrics.gauge(
        "userauth_clock_offset_seconds",
        "How far the clock of this host is ahead of that of Postgres.",
        lambda: clock.offset,
    )
    peers = application.services.peers
    metrics.gauge(
        "userauth_settings_differ",
        "How many settings another server on the database has with other values.",
        lambda: len(peers.differing),
    )
    metrics.counter(
        "userauth_log_lines_dropped", "Log lines that were dropped.", lambda: log.dropped
    )


def watch_mail(metrics: Metrics, sender: Sender, backlog: Backlog) -> None:
    """Expose the number of messages to send, and the outcomes of those claimed by this process."""
    metrics.gauge("userauth_messages_due", "Messages to send, now or later.", lambda: backlog.due)
    metrics.gauge(
        "userauth_messages_oldest_due_seconds",
        "Age of the oldest message to send.",
        lambda: backlog.oldest_seconds,
    )
    metrics.gauge(
        "userauth_mail_relay_paused",
        "1 while messages wait because the relay sends none.",
        lambda: int(sender.is_paused),
    )
    metrics.counter(
        "userauth_messages_sent", "Messages that the relay accepted.", lambda: sender.counts.sent
    )
    metrics.counter(
        "userauth_messages_deferred",
        "Attempts to send a message that failed for now.",
        lambda: sender.counts.deferred,
    )
    metrics.labeled_counter(
        "userauth_messages_given_up",
        "Messages that are not sent, by reason.",
        "reason",
        lambda: sender.counts.given_up,
    )


def _watch_hashes(metrics: Metrics, queue: HashQueue) -> None:
    metrics.gauge("userauth_hash_workers", "Threads for hashing.", lambda: queue.workers)
    metrics.gauge("userauth_hashes_running", "Hashes with a worker.", lambda: queue.running)
    metrics.gauge("userauth_hashes_waiting", "Hashes waiting for a worker.", lambda: queue.waiting)
    metrics.counter(
        "userauth_hashes_rejected",
        "Hashes rejected because of the length of the wait.",
        lambda: queue.rejected,
    )


def _watch_database(metrics: Metrics, pool: Database, lookups: Lookups) -> None:
    metrics.gauge("userauth_pool_size", "Maximum number of connections.", lambda: pool.size)
    metrics.gauge("userauth_pool_in_use", "Connections in use.", lambda: pool.in_use)
    metrics.gauge(
        "userauth_pool_waiting", "Requests waiting for a connection.", lambda: pool.waiting
    )
    metrics.counter(
        "userauth_pool_failures", "Failures to acquire a connection.", lambda: pool.failures
    )
    metrics.labeled_counter(
        "userauth_lookup_failures",
        "Failed statements of batched lookups.",
        "lookup",
        lambda: lookups.failures,
    )


def _watch_events(metrics: Metrics, counts: CommittedCounts) -> None:
    metrics.counter("userauth_tokens_issued", "Tokens issued.", lambda: counts.issued)
    metrics.labeled_counter(
        "userauth_tokens_revoked",
        "Valid tokens revoked, by reason.",
        "reason",
        lambda: counts.revoked,
    )
    metrics.labeled_counter(
        "userauth_events", "Events written to the audit trail.", "kind", lambda: counts.events
    )

"""The parts that hash, check and cache passwords, built from the settings."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ops.cpus import available_cpus
from ops.metrics import Metrics
from ops.periodic import PeriodicTask
from rules import imported_hashes
from rules.account_rules import AccountRules
from rules.hash_queue import HashQueue
from rules.password_cache import PasswordCache
from rules.password_rules import PasswordRules
from rules.password_scheme import PasswordScheme
from rules.passwords import PasswordHasher
from settings import Settings
from settings.model import MAX_WORKERS


def open_hasher(settings: Settings, metrics: Metrics | None) -> PasswordHasher:
    """Return the hasher, to be closed by the caller; its threads start on first use."""
    scheme = PasswordScheme(
        cost=settings.passwords.bcrypt_cost,
        peppers=[pepper.get_secret_value() for pepper in settings.passwords.pepper],
    )
    queue = HashQueue(
        workers=settings.passwords.workers or default_workers(settings.server.processes),
        max_wait_seconds=settings.passwords.max_wait_seconds,
        seconds_each=scheme.estimate_seconds(),
        max_per_account=settings.passwords.max_per_account,
        observe_wait=metrics.observe_hash_wait if metrics else None,
        observe_hash=metrics.observe_hash if metrics else None,
    )
    return PasswordHasher(scheme, queue, imported_hashes.read)


def default_workers(processes: int) -> int:
    """Return the share of one process in the CPUs."""
    return min(MAX_WORKERS, max(1, available_cpus() // processes))


def account_rules(settings: Settings) -> AccountRules:
    """Return the rules for email addresses and new passwords."""
    passwords = PasswordRules(
        min_length=settings.passwords.min_length,
        refuse_common=settings.passwords.refuse_common,
        service_words=settings.passwords.service_words,
    )
    return AccountRules(passwords, settings.registration.internal_domains)


@asynccontextmanager
async def open_cache(settings: Settings) -> AsyncIterator[PasswordCache]:
    """Open the cache of verified passwords, and sweep it until the end of the block."""
    cache = PasswordCache(settings.passwords.remember_seconds, time.monotonic)
    sweep = PeriodicTask("password cache sweep failed", cache.sweep)
    try:
        yield cache
    finally:
        await sweep.close()

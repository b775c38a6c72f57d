"""The limit on open files, and how many connections it allows."""

import resource

from settings.model import LimitSettings

# Open files other than connections of clients: of the database, the log and the event loop.
_OTHER_FILES = 100


def raise_limit(limits: LimitSettings) -> None:
    """Raise the process's limit on open files if it is too low for ``limits.max_connections``."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = limits.max_connections + _OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        files = min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


def possible_connections(wanted: int) -> int:
    """Return how many connections the limit on open files allows, at most ``wanted``.

    Without a free file every accept() fails, and so does everything else.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, soft - _OTHER_FILES))

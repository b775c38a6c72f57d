"""A connection that reports the first answer of Postgres, long before it is open."""

from collections.abc import Callable

from psycopg2.extensions import POLL_READ, connection

Report = Callable[[], object]


def reporting_to(report: Report) -> Callable[..., connection]:
    """Return a connection factory for psycopg2; ``report`` is called once."""

    def create(dsn: str, async_: int) -> connection:
        return _ReportingConnection(dsn, async_, report)

    return create


class _ReportingConnection(connection):
    def __init__(self, dsn: str, async_: int, report: Report) -> None:
        super().__init__(dsn, async_=async_)
        self._report: Report | None = report
        self._is_reading = False

    def poll(self) -> int:
        """Continue the connection (see psycopg2), and report the first answer."""
        if self._is_reading and self._report is not None:
            report, self._report = self._report, None
            report()
        state = super().poll()
        self._is_reading = state == POLL_READ
        return state

"""The lines about an embedded Postgres that ends while the server runs."""

import asyncio
from collections.abc import Sequence

import pytest

from wiring.embedded_watch import EmbeddedWatch

ENDED = "the embedded Postgres has ended: requests get 503 until a restart"
AGAIN = "the embedded Postgres runs again"


@pytest.mark.parametrize(
    ("seen", "lines"),
    [
        ((True, True), []),
        ((True, False, False, False), [("ERROR", ENDED)]),
        ((True, False, True, True), [("ERROR", ENDED), ("INFO", AGAIN)]),
        ((True, False, True, False), [("ERROR", ENDED), ("INFO", AGAIN), ("ERROR", ENDED)]),
        # A Postgres of another container.
        ((False, False, True), []),
    ],
)
def test_each_end_of_the_embedded_postgres_is_logged_once(
    caplog: pytest.LogCaptureFixture, seen: Sequence[bool], lines: list[tuple[str, str]]
) -> None:
    caplog.set_level("INFO")
    watch = EmbeddedWatch(iter(seen).__next__)

    async def look() -> None:
        for _ in seen[1:]:
            await watch.look()

    asyncio.run(look())
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == lines

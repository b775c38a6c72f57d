"""Which caller makes room in a full queue."""

import asyncio
from itertools import count

from rules.claims import Claim
from rules.hash_admission import Admission, Ticket
from rules.turns import Caller

MAX_TICKETS = 8
# Three quarters of the queue.
SHARE = 6
_numbers = count()


def new_ticket(
    address: str, *, since: float, is_known: bool, turn: asyncio.Future[None] | None = None
) -> Ticket:
    number = next(_numbers)
    caller = Caller.at(address, f"user{number}", is_known=is_known)
    return Ticket(number, caller, Claim(since), turn)


def waiting_tickets(address: str, number: int, *, is_known: bool) -> list[Ticket]:
    loop = asyncio.get_running_loop()
    return [
        new_ticket(address, since=10, is_known=is_known, turn=loop.create_future())
        for _ in range(number)
    ]


async def _displaced_by_a_site_with_its_share() -> tuple[Ticket | None, str]:
    admission = Admission(workers=2, max_per_account=8)
    # Callers at the other site are not known, and would otherwise make room first.
    waiting = [
        *waiting_tickets("192.0.2.1", SHARE, is_known=True),
        *waiting_tickets("192.0.2.2", MAX_TICKETS - SHARE, is_known=False),
    ]
    for ticket in waiting:
        admission.add(ticket)
    new = new_ticket("192.0.2.1", since=0, is_known=True)
    displaced = admission.find_rejected(new, MAX_TICKETS)
    for ticket in waiting:
        admission.remove(ticket)
    assert len(admission) == 0
    return displaced, new.caller.site


def test_a_site_that_has_its_share_displaces_only_its_own_tickets() -> None:
    displaced, site = asyncio.run(_displaced_by_a_site_with_its_share())
    assert displaced is not None
    assert displaced.caller.site == site

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


def new_ticket(address: str, *, since: float, turn: asyncio.Future[None] | None = None) -> Ticket:
    number = next(_numbers)
    caller = Caller.at(address, f"user{number}")
    return Ticket(number, caller, Claim(since), turn)


def waiting_tickets(address: str, number: int) -> list[Ticket]:
    loop = asyncio.get_running_loop()
    return [new_ticket(address, since=10, turn=loop.create_future()) for _ in range(number)]


async def _displaced_by_a_site_with_its_share() -> Ticket | None:
    admission = Admission(workers=2, max_per_account=8)
    waiting = waiting_tickets("192.0.2.1", SHARE)
    for ticket in waiting:
        admission.add(ticket)
    new = new_ticket("192.0.2.1", since=0)
    displaced = admission.find_rejected(new, MAX_TICKETS)
    for ticket in waiting:
        admission.remove(ticket)
    assert len(admission) == 0
    return displaced


def test_a_site_that_has_its_share_displaces_its_own_tickets_although_there_is_room() -> None:
    displaced = asyncio.run(_displaced_by_a_site_with_its_share())
    assert displaced is not None
    assert displaced.claim.since == 10


def test_an_account_holds_no_more_tickets_at_a_network_than_allowed() -> None:
    admission = Admission(workers=2, max_per_account=3)
    tickets = [
        Ticket(number, Caller.at(address, "susan@example.com"), Claim(0))
        for number, address in enumerate([*["192.0.2.1"] * 4, "192.0.2.2"])
    ]
    for ticket in tickets[:3]:
        assert admission.find_rejected(ticket, MAX_TICKETS) is None
        admission.add(ticket)
    assert admission.find_rejected(tickets[3], MAX_TICKETS) is tickets[3]
    assert admission.find_rejected(tickets[4], MAX_TICKETS) is None

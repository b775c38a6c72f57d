"""Fifty times as many tokens: one server each on a small and on a large database."""

from bench.findings import Figure, Findings, Limit, Mark, Sense, series
from bench.people import USERS, signed_tokens
from bench.session import LARGE_ROWS, Session, check_user
from bench.targets import bearers, userauth


def measure(session: Session) -> Findings:
    """Load both servers in turn, never at once."""
    lists = {"userauth": session.token_list(USERS), "userauth-5m": session.token_list(LARGE_ROWS)}
    rates: dict[str, list[float]] = {name: [] for name in lists}
    small_url, large_url = session.small_database(), session.large_database()
    with userauth(small_url) as small, userauth(large_url, "userauth-5m") as large:
        # The last token of the large one belongs to the last user.
        check_user(large, bearers(signed_tokens([LARGE_ROWS]))[0], USERS)
        for target in (small, large):
            session.warm_up(target, authorizations=lists[target.name])
        for number in range(session.pace.rounds):
            session.say(f"rows, round {number + 1} of {session.pace.rounds}")
            pairs = [(target, lists[target.name]) for target in (small, large)]
            for (target, _), load in zip(pairs, session.compare(pairs, 128, number), strict=True):
                rates[target.name].append(load.rate)
    figure = Figure(
        "throughput, 5,000,000 token rows",
        series(rates["userauth-5m"]),
        "requests/s",
        Limit("itself on 100,000", series(rates["userauth"])),
        Mark(Sense.AT_LEAST, 0.95, "× 100,000 rows"),
    )
    return Findings(figures=(figure,))

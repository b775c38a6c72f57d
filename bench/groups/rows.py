"""Fifty times as many tokens: two servers, on a small and on a large database."""

from bench.dataset import USERS, signed_tokens
from bench.load.wrk import Workload
from bench.results import Baseline, Comparison, Figure, Goal, Results, series
from bench.run import LARGE_ROWS, Run, check_user
from bench.targets import bearers, userauth


def measure(run: Run) -> Results:
    """Load both servers in turn."""
    lists = {"userauth": run.token_list(USERS), "userauth-5m": run.token_list(LARGE_ROWS)}
    rates: dict[str, list[float]] = {name: [] for name in lists}
    small_url, large_url = run.small_database(), run.large_database()
    with userauth(small_url) as small, userauth(large_url, "userauth-5m") as large:
        # The last token of the large database belongs to the last user.
        check_user(large, bearers(signed_tokens([LARGE_ROWS]))[0], USERS)
        for target in (small, large):
            run.warm_up(target, authorizations=lists[target.name])
        workloads = [Workload(target, lists[target.name]) for target in (small, large)]
        for number in run.rounds("rows"):
            loads = run.compare(workloads, 128, number)
            for workload, load in zip(workloads, loads, strict=True):
                rates[workload.target.name].append(load.rate)
    figure = Figure(
        "throughput, 5,000,000 token rows",
        series(rates["userauth-5m"]),
        "requests/s",
        Baseline("itself on 100,000", series(rates["userauth"])),
        Goal(Comparison.AT_LEAST, 0.95, "× 100,000 rows"),
    )
    return Results(figures=(figure,))

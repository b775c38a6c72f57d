"""Token requests, 100 per second, while one IP address floods the server with wrong passwords."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from bench.dataset import USERS, Credentials, email, signed_tokens, spread
from bench.groups.beside import P99_MILLISECONDS, TOKENS, send_tokens
from bench.load.paced import PacedResults
from bench.load.wrk import Load, Workload, run_wrk, write_list
from bench.processes import wait_until_idle
from bench.results import Comparison, Curve, Figure, Goal, Results, percentile, series
from bench.run import Run
from bench.targets import Target, basic, bearers, userauth

CONNECTIONS = 32
ACCOUNTS = 1_000
# A wrong password is rejected because it is wrong, throttled, or because the hash queue is full.
EXPECTED = {"401", "429", "503"}


def measure(run: Run) -> Results:
    """Measure token requests during a flood, and the rate at which the flood is rejected."""
    tokens = bearers(signed_tokens(spread(USERS, TOKENS)))
    guesses = [
        basic(Credentials(email(number), "a wrong guess")) for number in range(1, ACCOUNTS + 1)
    ]
    file = write_list("guesses", guesses)
    with userauth(run.small_database()) as server:
        flood = Workload(server, file)
        # Until the IP address has used up its failures.
        run_wrk(flood, connections=CONNECTIONS, seconds=60)
        rounds = [_measure_round(run, server, tokens, flood) for _ in run.rounds("flood")]
    run.reset_throttle()
    return _results(rounds)


def _measure_round(
    run: Run, server: Target, tokens: Sequence[str], flood: Workload
) -> tuple[PacedResults, Load]:
    wait_until_idle(server.pid)
    seconds = round(run.schedule.paced)
    with ThreadPoolExecutor(1) as executor:
        flooding = executor.submit(run_wrk, flood, connections=CONNECTIONS, seconds=seconds)
        paced = send_tokens(run, server, tokens, "beside a flood", seconds - 1)
        load = flooding.result()
    unexpected = {name: count for name, count in load.faults.items() if name not in EXPECTED}
    run.record_faults("flood", unexpected)
    return paced, load


def _results(rounds: Sequence[tuple[PacedResults, Load]]) -> Results:
    latencies = [paced.latencies for paced, _ in rounds]
    p99 = Figure(
        f"p99 of token requests (100/s) beside a flood of wrong passwords, {CONNECTIONS}"
        " connections",
        series([percentile(each, 99) for each in latencies]),
        "ms",
        goal=Goal(Comparison.AT_MOST, P99_MILLISECONDS, "ms"),
    )
    rejected = Figure(
        "wrong passwords rejected", series([load.rate for _, load in rounds]), "requests/s"
    )
    curve = Curve(
        "token requests, a flood of wrong passwords",
        tuple(latency for each in latencies for latency in each),
    )
    return Results(figures=(p99, rejected), curves=(curve,))

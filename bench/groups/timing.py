"""Whether the time of a rejected login reveals that an email address is registered."""

import http.client
import time
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from statistics import median

import psycopg2

from bench.dataset import Credentials, password_credentials
from bench.imported import SCHEMES, email_of
from bench.order import shuffled
from bench.processes import wait_until_idle
from bench.results import Baseline, Comparison, Figure, Goal, Results, series
from bench.run import FULL, QUICK, Run
from bench.targets import USER_PATH, Target, basic, userauth

UNAUTHORIZED = 401
# Attempts of each kind per round, by schedule; 200 in all rounds of the full one.
ATTEMPTS = {QUICK.name: 7, FULL.name: 40}
# How many of them, in each form, are for one account, which may have 79 consecutive failures.
ATTEMPTS_PER_USER = 20
# How much longer a rejection may take if the email address is registered.
MAX_RATIO = 1.03
LIMITS = {
    "USERAUTH_THROTTLE__ADDRESS_FAILURES": "1000000",
    "USERAUTH_THROTTLE__PAIR_FAILURES": "1000000",
    "USERAUTH_THROTTLE__ACCOUNT_FAILURES": "1000000",
}
OWN_SCHEME = "the server's scheme"
# bcrypt reads 72 bytes of the third one, and passlib none.
FORMS = {
    "ASCII": "a wrong guess",
    "NFD": unicodedata.normalize("NFD", "eine falsche Lösung, größer"),
    "long": "a wrong guess " * 70,
}

_IMPORT = """
INSERT INTO users (email, email_key, password_hash)
SELECT email, email, hash FROM unnest(%s::text[], %s::text[]) AS imported (email, hash)
ON CONFLICT (email_key) DO UPDATE SET password_hash = excluded.password_hash
"""
_REMOVE = "DELETE FROM users WHERE email_key LIKE 'imported-%'"


def measure(run: Run) -> Results:
    """Measure wrong passwords for registered and for unknown email addresses, in turn."""
    times: dict[tuple[str, str], list[list[float]]] = {}
    with (
        imported_users(run.small_database()),
        userauth(run.small_database(), "timing", **LIMITS) as server,
    ):
        for number in run.rounds("timing"):
            # At startup, the server measures how long each kind of hash takes.
            wait_until_idle(server.pid)
            for key, durations in measure_round(run, server, number).items():
                times.setdefault(key, []).append(durations)
            run.reset_throttle()
    return Results(figures=tuple(_figures(times)))


def _figures(times: Mapping[tuple[str, str], list[list[float]]]) -> Iterator[Figure]:
    for (scheme, form), rounds in times.items():
        if scheme == "":
            continue
        unknown = [median(each) for each in times["", form]]
        yield Figure(
            f"rejection of a wrong password ({form}), registered with a hash of {scheme}",
            series([median(each) for each in rounds]),
            "ms",
            baseline=Baseline("unknown email address", series(unknown)),
            goal=Goal(Comparison.AT_MOST, MAX_RATIO, "× unknown"),
        )


def measure_round(run: Run, server: Target, number: int) -> dict[tuple[str, str], list[float]]:
    """Return the durations of rejections by scheme ("" for unknown addresses) and form."""
    attempts = ATTEMPTS[run.schedule.name]
    # In the order of the report.
    times: dict[tuple[str, str], list[float]] = {
        (scheme, form): [] for form in FORMS for scheme in ("", OWN_SCHEME, *SCHEMES)
    }
    credentials = password_credentials()
    for attempt in range(attempts):
        user = attempt // ATTEMPTS_PER_USER
        emails = {
            "": f"unknown.{number}.{attempt}@example.com",
            OWN_SCHEME: credentials[user].email,
            **{scheme: email_of(scheme, user) for scheme in SCHEMES},
        }
        for form, password in FORMS.items():
            # What the server does after one login may delay the next, whatever it is for.
            for scheme, email in shuffled([*emails.items()], f"{number} {attempt} {form}"):
                duration = _fail_login(run, server, Credentials(email, password))
                times[scheme, form].append(duration)
    return times


@contextmanager
def imported_users(database: str) -> Iterator[None]:
    """Create users with a hash of each scheme for the duration of the block."""
    users = range(-(-max(ATTEMPTS.values()) // ATTEMPTS_PER_USER))
    hashes = {scheme: make() for scheme, make in SCHEMES.items()}
    rows = [(email_of(scheme, n), hashes[scheme]) for scheme in SCHEMES for n in users]
    with closing(psycopg2.connect(database)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(_IMPORT, tuple(map(list, zip(*rows, strict=True))))
        try:
            yield
        finally:
            cursor.execute(_REMOVE)


def _fail_login(run: Run, server: Target, credentials: Credentials) -> float:
    """Log in with a wrong password; return the duration of the rejection in milliseconds."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    started = time.perf_counter()
    connection.request("GET", f"{USER_PATH}/login", headers={"Authorization": basic(credentials)})
    status = connection.getresponse().status
    milliseconds = (time.perf_counter() - started) * 1000
    connection.close()
    if status != UNAUTHORIZED:
        run.record_faults("timing", {str(status): 1})
    return milliseconds

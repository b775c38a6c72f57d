"""Whether the time of a refusal tells that somebody has the e-mail address."""

import http.client
import time
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from statistics import median

import psycopg2

from bench.findings import Figure, Findings, Limit, Mark, Sense, series
from bench.imported import SCHEMES, email_of
from bench.people import Person, password_people
from bench.session import FULL, QUICK, Session
from bench.targets import USER_PATH, Target, basic, userauth

REFUSED = 401
# Tries of each kind a round, by the pace; 200 in all rounds of the full one.
TRIES = {QUICK.name: 7, FULL.name: 40}
# How many of them, of each form, go to one account: it may have 79 failures in a row.
TRIES_A_USER = 20
# How much longer a refusal may take where there is a user.
MOST = 1.03
LIMITS = {
    "USERAUTH_THROTTLE__ADDRESS_FAILURES": "1000000",
    "USERAUTH_THROTTLE__PAIR_FAILURES": "1000000",
    "USERAUTH_THROTTLE__ACCOUNT_FAILURES": "1000000",
}
OURS = "our own"
# bcrypt reads 72 bytes of the third, and passlib none of it.
FORMS = {
    "ASCII": "a wrong guess",
    "NFD": unicodedata.normalize("NFD", "eine falsche Lösung, größer"),
    "long": "a wrong guess " * 70,
}

_IMPORT = """
INSERT INTO users (email, email_key, password_hash)
SELECT email, email, stored FROM unnest(%s::text[], %s::text[]) AS imported (email, stored)
ON CONFLICT (email_key) DO UPDATE SET password_hash = excluded.password_hash
"""
_REMOVE = "DELETE FROM users WHERE email_key LIKE 'imported-%'"


def measure(session: Session) -> Findings:
    """Measure wrong passwords of users and of nobody, in turn."""
    times: dict[tuple[str, str], list[list[float]]] = {}
    with (
        imported_users(session.small_database()),
        userauth(session.small_database(), "timing", **LIMITS) as server,
    ):
        time.sleep(5)  # it measures the kinds of hashes first
        for number in range(session.pace.rounds):
            session.say(f"timing, round {number + 1} of {session.pace.rounds}")
            for key, found in _round(session, server, number).items():
                times.setdefault(key, []).append(found)
            session.forget_failures()
    return Findings(figures=tuple(_figures(times)))


def _figures(times: Mapping[tuple[str, str], list[list[float]]]) -> Iterator[Figure]:
    for (scheme, form), found in times.items():
        if scheme == "":
            continue
        nobody = [median(each) for each in times["", form]]
        yield Figure(
            f"refusal of a wrong password ({form}), a user has a hash of {scheme}",
            series([median(each) for each in found]),
            "ms",
            limit=Limit("nobody has the e-mail address", series(nobody)),
            mark=Mark(Sense.AT_MOST, MOST, "× where nobody has it"),
        )


def _round(session: Session, server: Target, number: int) -> dict[tuple[str, str], list[float]]:
    """Return the times of refusals, by scheme ("" for nobody) and form, one after the other."""
    tries = TRIES[session.pace.name]
    times: dict[tuple[str, str], list[float]] = {}
    ours = password_people()
    for turn in range(tries):
        place = turn // TRIES_A_USER
        emails = {
            "": f"nobody.{number}.{turn}@example.com",
            OURS: ours[place].email,
            **{scheme: email_of(scheme, place) for scheme in SCHEMES},
        }
        for form, password in FORMS.items():
            for scheme, email in emails.items():
                spent = _refuse(session, server, Person(email, password))
                times.setdefault((scheme, form), []).append(spent)
    return times


@contextmanager
def imported_users(database: str) -> Iterator[None]:
    """Let users with a hash of each scheme be there."""
    places = range(-(-max(TRIES.values()) // TRIES_A_USER))
    hashes = {scheme: make() for scheme, make in SCHEMES.items()}
    rows = [(email_of(scheme, n), hashes[scheme]) for scheme in SCHEMES for n in places]
    with closing(psycopg2.connect(database)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(_IMPORT, tuple(map(list, zip(*rows, strict=True))))
        try:
            yield
        finally:
            cursor.execute(_REMOVE)


def _refuse(session: Session, server: Target, person: Person) -> float:
    """Log in with a wrong password; return how long the refusal took, in milliseconds."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    began = time.perf_counter()
    connection.request("GET", f"{USER_PATH}/login", headers={"Authorization": basic(person)})
    status = connection.getresponse().status
    milliseconds = (time.perf_counter() - began) * 1000
    connection.close()
    if status != REFUSED:
        session.blame("timing", {str(status): 1})
    return milliseconds

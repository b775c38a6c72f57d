"""Whether the time of a refusal tells that somebody has the e-mail address."""

import http.client
import time
from statistics import median

from bench.findings import Figure, Findings, Limit, Mark, Sense, series
from bench.people import Person, password_people
from bench.session import Session
from bench.targets import USER_PATH, Target, basic, userauth

REFUSED = 401
# Tries of each kind a round.
TRIES = 20
# How much longer a refusal may take where there is a user.
MOST = 1.03


def measure(session: Session) -> Findings:
    """Measure wrong passwords of users and of nobody, in turn."""
    known, unknown = [], []
    limits = {"USERAUTH_THROTTLE__ADDRESS_FAILURES": "1000000"}
    with userauth(session.small_database(), "timing", **limits) as server:
        for number in range(session.pace.rounds):
            session.say(f"timing, round {number + 1} of {session.pace.rounds}")
            users = password_people()[:TRIES]
            of_users, of_nobody = [], []
            for person in users:
                nobody = Person(f"nobody.{number}.{person.email}", "a wrong guess")
                of_nobody.append(_refuse(session, server, nobody))
                of_users.append(_refuse(session, server, Person(person.email, "a wrong guess")))
            known.append(median(of_users))
            unknown.append(median(of_nobody))
            session.forget_failures()
    figure = Figure(
        "refusal of a wrong password, somebody has the e-mail address",
        series(known),
        "ms",
        limit=Limit("nobody has it", series(unknown)),
        mark=Mark(Sense.AT_MOST, MOST, "× where nobody has it"),
    )
    return Findings(figures=(figure,))


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

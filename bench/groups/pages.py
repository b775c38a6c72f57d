"""The page that signs in, compared with a bare template; sign-ins with its form, with logins."""

import http.client
import re
from contextlib import closing
from html import unescape

from bench.dataset import password_credentials
from bench.groups.logins import log_in
from bench.load.wrk import Workload, write_list
from bench.order import in_turn
from bench.processes import wait_until_idle
from bench.results import Baseline, Comparison, Figure, Goal, Results, series
from bench.run import Run
from bench.targets import SIGN_IN_PATH, FormToken, Target, bare_page, userauth

CONNECTIONS = 32
_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')
# As sent by Chromium.
_HEADERS = {"Accept": "text/html,*/*;q=0.8", "Accept-Language": "en"}


def measure(run: Run) -> Results:
    """Load the page and the bare template in turn, then the form and the login in turn."""
    with userauth(run.small_database(), "pages") as server:
        size, token = open_page(server)
        return Results(
            figures=(_measure_page(run, server, size), _measure_form(run, server, token))
        )


def _measure_page(run: Run, server: Target, size: int) -> Figure:
    """Measure the rate of the page, and of a template of its size."""
    paths = write_list("sign-in-page", [f"none\t{SIGN_IN_PATH}"])
    pages, bare = [], []
    with bare_page(size) as baseline:
        run.warm_up(server, baseline, authorizations=paths)
        workloads = [Workload(server, paths), Workload(baseline, paths)]
        for number in run.rounds("pages"):
            page_load, bare_load = run.compare(workloads, CONNECTIONS, number)
            pages.append(page_load.rate)
            bare.append(bare_load.rate)
    return Figure(
        f"page that signs in, {size:,} bytes, {CONNECTIONS} connections",
        series(pages),
        "requests/s",
        Baseline("bare template", series(bare)),
    )


def _measure_form(run: Run, server: Target, token: FormToken) -> Figure:
    """Measure sign-ins with the form, and logins with the API."""
    users = password_credentials()
    requests = {
        "form": [server.sign_in_request(each, token) for each in users],
        "logins": [server.login_request(each) for each in users],
    }
    rates: dict[str, list[float]] = {name: [] for name in requests}
    for number in run.rounds("sign-ins"):
        for name in in_turn(list(requests), number):
            wait_until_idle(server.pid)
            rates[name].append(log_in(run, server, requests[name], what=name)[0])
    return Figure(
        "sign-ins by the form, 32 clients, cost 12",
        series(rates["form"]),
        "sign-ins/s",
        Baseline("logins by the API", series(rates["logins"])),
        Goal(Comparison.AT_LEAST, 0.95, "× logins"),
    )


def open_page(target: Target) -> tuple[int, FormToken]:
    """Return the size of the page, and the token of its form."""
    with closing(http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)) as connection:
        connection.request("GET", SIGN_IN_PATH, headers=_HEADERS)
        response = connection.getresponse()
        body = response.read()
        cookie = (response.getheader("Set-Cookie") or "").partition(";")[0]
    found = _TOKEN.search(body.decode())
    return len(body), FormToken(unescape(found[1]) if found else "", cookie)

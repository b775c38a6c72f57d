"""userauth installed on Debian with a real systemd: restarts, upgrades, crashes and a power cut."""

import itertools
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest

from tests.harness.api import PASSWORD
from tests.harness.external_cluster import external_cluster
from tests.harness.load import Load
from tests.harness.machine import Machine, new_machine
from tests.harness.processes import free_port

pytestmark = [
    pytest.mark.long,
    pytest.mark.serial,
    pytest.mark.needs("debootstrap", "git"),
    # The first use of a release makes its tree.
    pytest.mark.timeout(900),
]
CHECKOUT = "/root/userauth"
INSTALL = f"{CHECKOUT}/deploy/install.sh"
ENVIRONMENT = "/etc/userauth/environment"
UNITS = "/etc/systemd/system"
DROP_IN = f"{UNITS}/userauth.service.d/test.conf"
# As from the proxy that the installed settings trust.
HTTPS = {"X-Forwarded-Proto": "https"}
QUICK = """
USERAUTH_PASSWORDS__BCRYPT_COST=10
USERAUTH_THROTTLE__REGISTRATIONS=100000
USERAUTH_THROTTLE__WRITES_PER_MINUTE=100000
"""
# A version that accepts the settings and does not start.
BROKEN = "import sys\nsys.exit('--check' not in sys.argv)\n"
_numbers = itertools.count()


class Site:
    """A machine on which userauth is installed, and its address."""

    def __init__(self, machine: Machine, port: int) -> None:
        self.machine = machine
        self.url = f"http://127.0.0.1:{port}"

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=HTTPS, timeout=30)

    def new_token(self) -> str:
        """Register a user; return a token of the user."""
        with self.client() as client:
            return log_in(client, register(client))

    def status_of(self, token: str) -> int:
        with self.client() as client:
            return client.get("/api/user", auth=(token, "")).status_code

    def load(self) -> Load:
        """Send requests with a token until the context is left."""
        return Load(
            f"{self.url}/api/user", {**HTTPS, "Authorization": f"Bearer {self.new_token()}"}
        )

    def property(self, name: str) -> str:
        return self.machine.property("userauth.service", name)

    def install(self, *, check: bool = True) -> str:
        """Install from the checkout; return what was reported."""
        ended = self.machine.run(INSTALL, check=check, seconds=300)
        assert (ended.returncode == 0) == check
        return ended.stdout + ended.stderr

    def journal(self) -> str:
        return self.machine.run("journalctl", "--unit=userauth", "--output=cat").stdout


def register(client: httpx.Client) -> str:
    email = f"user{next(_numbers)}@example.com"
    answer = client.post("/api/user/register", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    return email


def log_in(client: httpx.Client, email: str) -> str:
    answer = client.post("/api/user/login", auth=(email, PASSWORD))
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["token"]
    return token


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def installed(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Boot a machine and install userauth on it."""
    with new_machine(request.param) as machine:
        site = Site(machine, free_port())
        machine.write(
            "/etc/systemd/system/userauth.socket.d/test.conf",
            f"[Socket]\nListenStream=\nListenStream={site.url.removeprefix('http://')}\n",
        )
        machine.boot()
        site.install()
        file = machine.root / ENVIRONMENT.lstrip("/")
        machine.write(ENVIRONMENT, file.read_text("utf-8") + QUICK)
        machine.run("systemctl", "restart", "userauth")
        yield site


@pytest.fixture
def site(installed: Site) -> Site:
    """Return a machine on which userauth serves."""
    assert installed.property("ActiveState") == "active", installed.journal()
    return installed


def test_the_installation_serves_without_a_failed_unit(site: Site) -> None:
    with site.client() as client:
        assert client.get("/health/ready").status_code == 200
    failed = site.machine.run("systemctl", "list-units", "--failed", "--plain", "--no-legend")
    assert "userauth" not in failed.stdout
    assert site.property("User") == "userauth"
    users = site.machine.run("ps", "-o", "user=", "-p", site.property("MainPID")).stdout.split()
    assert users == ["userauth"]
    assert "Traceback" not in site.journal()
    assert "users" in site.machine.run("userauth-manage", "users", "--help").stdout


def test_the_service_of_the_backup_timer_writes_a_backup(site: Site) -> None:
    site.new_token()
    site.machine.run("systemctl", "start", "userauth-backup.service")
    assert len([*(site.machine.root / "var" / "backups" / "userauth").iterdir()]) >= 1


def test_a_restart_under_load_loses_no_request(site: Site) -> None:
    with site.load() as load:
        for _ in range(3):
            load.wait_for_more()
            before = site.property("MainPID")
            site.machine.run("systemctl", "restart", "userauth")
            assert site.property("MainPID") != before
        load.wait_for_more()
    assert set(load.outcomes) == {"200"}, load.outcomes


def test_a_reload_under_load_loses_no_request(site: Site) -> None:
    before = site.property("MainPID")
    with site.load() as load:
        load.wait_for_more()
        site.machine.run("systemctl", "reload", "userauth")
        load.wait_for_more()
    assert set(load.outcomes) == {"200"}, load.outcomes
    assert site.property("MainPID") == before


def test_an_upgrade_under_load_loses_no_request(site: Site) -> None:
    name = f"upgraded-{next(_numbers)}"
    site.machine.write(f"{CHECKOUT}/{name}", "")
    site.machine.run("git", "-C", CHECKOUT, "add", name)
    before = site.property("MainPID")
    with site.load() as load:
        load.wait_for_more()
        site.install()
        load.wait_for_more()
    assert set(load.outcomes) == {"200"}, load.outcomes
    assert site.property("MainPID") != before
    assert (site.machine.root / "opt" / "userauth" / name).exists()


def test_invalid_settings_at_an_upgrade_leave_the_running_version_unchanged(site: Site) -> None:
    file = site.machine.root / ENVIRONMENT.lstrip("/")
    right = file.read_text("utf-8")
    before = site.property("MainPID")
    with site.load() as load:
        load.wait_for_more()
        site.machine.write(ENVIRONMENT, f"{right}\nUSERAUTH_TOKENS__LIFETIME_SECONDS=soon\n")
        reported = site.install(check=False)
        site.machine.write(ENVIRONMENT, right)
        load.wait_for_more()
    assert "lifetime_seconds" in reported
    assert set(load.outcomes) == {"200"}, load.outcomes
    assert site.property("MainPID") == before


def test_a_version_that_does_not_start_is_replaced_by_the_previous_one(site: Site) -> None:
    server = site.machine.root / CHECKOUT.lstrip("/") / "server.py"
    working = server.read_text("utf-8")
    with site.load() as load:
        load.wait_for_more()
        server.write_text(BROKEN, encoding="utf-8")
        reported = site.install(check=False)
        server.write_text(working, encoding="utf-8")
        load.wait_for_more()
    assert "the old version is running again" in reported
    assert set(load.outcomes) == {"200"}, load.outcomes


def test_a_killed_server_is_restarted_and_its_tokens_stay_valid(site: Site) -> None:
    token = site.new_token()
    restarts = int(site.property("NRestarts"))
    site.machine.run("kill", "-9", site.property("MainPID"))
    # systemd accepts connections meanwhile.
    assert site.status_of(token) == 200
    assert int(site.property("NRestarts")) == restarts + 1


def test_a_server_that_hangs_is_restarted_by_the_watchdog(site: Site) -> None:
    token = site.new_token()
    site.machine.write(DROP_IN, "[Service]\nWatchdogSec=2\n")
    site.machine.run("systemctl", "daemon-reload")
    site.machine.run("systemctl", "restart", "userauth")
    before, restarts = site.property("MainPID"), int(site.property("NRestarts"))
    site.machine.run("kill", "-STOP", before)
    assert site.status_of(token) == 200
    assert int(site.property("NRestarts")) == restarts + 1
    assert site.property("MainPID") != before
    assert "Watchdog timeout" in site.journal()
    (site.machine.root / DROP_IN.lstrip("/")).unlink()
    site.machine.run("systemctl", "daemon-reload")
    site.machine.run("systemctl", "restart", "userauth")


def test_after_a_power_cut_every_acknowledged_change_is_stored(site: Site) -> None:
    issued, revoked = list[str](), list[str]()
    written = Event()

    def write() -> None:
        with site.client() as client:
            try:
                while True:
                    token = log_in(client, register(client))
                    if len(issued) <= len(revoked):
                        issued.append(token)
                        continue
                    answer = client.post("/api/user/logout", auth=(token, ""))
                    assert answer.status_code == 204, answer.text
                    revoked.append(token)
                    if len(revoked) >= 5:
                        written.set()
            except httpx.HTTPError:
                return

    writers = [Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    assert written.wait(120)
    site.machine.cut_power()
    for writer in writers:
        writer.join()
    site.machine.boot()
    assert {site.status_of(token) for token in issued} == {200}
    assert {site.status_of(token) for token in revoked} == {401}
    assert len(revoked) >= 5
    assert site.property("ActiveState") == "active"


def free_prefix() -> int:
    """Return three digits that with 01 and with 02 make ports on which no process listens."""
    return next(
        prefix for prefix in range(120, 320) if all(map(is_free, ports_of_processes(prefix)))
    )


def ports_of_processes(prefix: int) -> list[int]:
    return [prefix * 100 + number for number in (1, 2)]


def is_free(port: int) -> bool:
    with suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False


@pytest.fixture
def external(site: Site, open_folder: Path) -> Iterator[None]:
    """Let the machine use a Postgres of this host."""
    credential = site.machine.root / "etc/userauth/credentials/DATABASE_URL"
    embedded = credential.read_text("utf-8")
    with external_cluster(open_folder) as url:
        credential.write_text(f"{url.partition('?')[0]}?sslmode=require\n", "utf-8")
        yield
        credential.write_text(embedded, "utf-8")
        site.machine.run("systemctl", "restart", "userauth")


@pytest.mark.usefixtures("external")
@pytest.mark.needs("initdb", "openssl")
def test_two_processes_are_restarted_and_upgraded_under_load_without_a_failed_request(
    site: Site,
) -> None:
    machine, prefix = site.machine, free_prefix()
    address = f"ListenStream=\nListenStream=127.0.0.1:{prefix}%i"
    machine.write(f"{UNITS}/userauth@.socket.d/test.conf", f"[Socket]\n{address}\n")
    reported = machine.run(INSTALL, "--processes", "2", seconds=300).stdout
    unused = "systemctl disable --now userauth.socket userauth.service"
    assert f"run: {unused}\n" in reported
    machine.run(*unused.split())
    sites = [Site(machine, port) for port in ports_of_processes(prefix)]
    token = sites[0].new_token()
    assert [each.status_of(token) for each in sites] == [200, 200]
    services = ["userauth@01.service", "userauth@02.service"]
    before = [machine.property(service, "MainPID") for service in services]
    with sites[0].load() as first, sites[1].load() as second:
        for _ in range(2):
            for service in services:
                machine.run("systemctl", "restart", service)
        site.install()
        for load in (first, second):
            load.wait_for_more()
    assert set(first.outcomes) == set(second.outcomes) == {"200"}, (first, second)
    after = [machine.property(service, "MainPID") for service in services]
    assert not {*before} & {*after}
    machine.run("kill", "-9", after[0])
    assert [each.status_of(token) for each in sites] == [200, 200]
    processes = machine.run("userauth-manage", "check").stdout
    assert "The settings are valid" in processes
    reported = machine.run(INSTALL, "--processes", "1", seconds=300).stdout
    machine.run(*reported.partition("run: ")[2].split())
    listed = machine.run("systemctl", "list-units", "--plain", "--no-legend", "userauth@*").stdout
    assert listed == ""
    assert site.status_of(token) == 200

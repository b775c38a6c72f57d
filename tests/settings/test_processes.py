"""Settings of several server processes on one machine."""

import pytest

from settings import load_settings
from tests.harness.configuration import settings_with
from tests.harness.settings_files import PRODUCTION, SHIPPED, Faults


@pytest.mark.parametrize("url", ["embedded", ""])
def test_several_processes_need_an_external_postgres(faults: Faults, url: str) -> None:
    (fault,) = faults({"USERAUTH_SERVER__PROCESSES": "2", "DATABASE_URL": url})
    assert fault == (
        "server.processes (from USERAUTH_SERVER__PROCESSES): must be 1 with the embedded Postgres:"
        " several processes need DATABASE_URL"
    )


def test_several_processes_may_share_an_external_postgres() -> None:
    settings = load_settings(PRODUCTION | {"USERAUTH_SERVER__PROCESSES": "64"}, SHIPPED)
    assert settings.server.processes == 64


@pytest.mark.parametrize(
    ("name", "variable"), [("server", "PORT"), ("metrics", "USERAUTH_METRICS__PORT")]
)
def test_the_port_of_a_process_is_at_most_65535(faults: Faults, name: str, variable: str) -> None:
    (fault,) = faults({variable: "65534", "USERAUTH_SERVER__INSTANCE": "2"})
    assert fault == (
        f"{name}.port (from {variable}): must be at most 65535 after server.instance is added"
    )


def test_the_number_of_a_process_may_have_two_digits_as_the_units_write_it() -> None:
    assert settings_with(SERVER__INSTANCE="07").server.instance == 7


@pytest.mark.parametrize(("port", "own"), [(0, 0), (9464, 9466)])
def test_the_number_of_a_process_is_added_to_its_ports(port: int, own: int) -> None:
    assert settings_with(SERVER__INSTANCE=2).server.own_port(port) == own

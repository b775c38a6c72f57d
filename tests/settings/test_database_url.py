"""The URL of the database."""

import pytest

from tests.harness.settings_files import SECRET, Faults, Load


@pytest.mark.parametrize(
    "url",
    [
        "embedded",
        "postgresql://db.example",
        "postgres://user:pa#ss?w%40rd@db.example:5433/users?sslmode=require",
        "postgresql://user@10.0.0.5/users",
        "postgresql://[2001:db8::1]:5432/users",
        "postgresql:///users?host=/var/run/postgresql",
        "postgresql://%2Fvar%2Frun%2Fpostgresql/users",
        "postgresql:///users?hostaddr=10.0.0.5",
        "postgresql://db.example/users?hostaddr=10.0.0.5",
        "postgresql://one,two:5433,[2001:db8::1]:5434/users",
        "postgresql://one,two/users?target_session_attrs=read-write",
        "postgresql://one,two/users?target_session_attrs=primary&load_balance_hosts=disable",
        "postgresql://one,two/users?hostaddr=10.0.0.5,10.0.0.6",
        "postgresql:///users?host=one,two&port=5433,5434",
        "postgresql:///users?hostaddr=10.0.0.5,10.0.0.6",
    ],
)
def test_a_database_with_hosts_or_a_socket_is_accepted(load: Load, url: str) -> None:
    assert load({"DATABASE_URL": url}).database.url.get_secret_value() == url


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (f"postgresql://user:{SECRET}@one/users?host=two", "not both"),
        (f"postgresql://user:{SECRET}@one,,two/users", "an empty name"),
        (f"postgresql://user:{SECRET}@/users?host=one,", "an empty name"),
        (f"postgresql://user:{SECRET}@one,two/x?target_session_attrs=any", "only a primary"),
        (f"postgresql://user:{SECRET}@one/x?target_session_attrs=standby", "only a primary"),
        (f"postgresql://user:{SECRET}@one,two/x?load_balance_hosts=random", "in their order"),
        (f"postgres+asyncpg://user:{SECRET}@one/users", "the name of a driver"),
        (f"postgresql+psycopg2://user:{SECRET}@one/users", "the name of a driver"),
        (f"postgresql://user:{SECRET}@one,two:port/users", "must be embedded or postgresql://"),
        (f"postgresql://user:{SECRET}@/users", "must name a host, or a socket directory"),
        (f"mysql://user:{SECRET}@one/users", "must be embedded or postgresql://"),
        (f"user:{SECRET}@one/users", "must be embedded or postgresql://"),
        (f"host=one password={SECRET}", "must be embedded or postgresql://"),
        (f"postgresql://user:{SECRET}/x@one/users", "written as %2F"),
        (f"postgresql://user:x@{SECRET}@one/users", "written as %40"),
        (f"postgresql://user:{SECRET}%zz@one/users", "must be embedded or postgresql://"),
        (f"postgresql://user:{SECRET} x@one/users", "must be embedded or postgresql://"),
        (f"postgresql://user:{SECRET}@one/users\n", "must be embedded or postgresql://"),
        (f"postgresql://user:{SECRET}@one:port/users", "must be embedded or postgresql://"),
        (f"EMBEDDED{SECRET}", "must be embedded or postgresql://"),
    ],
)
def test_an_unsupported_database_url_is_rejected_without_its_password(
    faults: Faults, url: str, sentence: str
) -> None:
    (fault,) = faults({"DATABASE_URL": url})
    assert fault.startswith("database.url = ********** (from DATABASE_URL): ")
    assert sentence in fault
    assert SECRET not in fault


def test_lookups_that_a_standby_acknowledges_need_an_external_postgres(
    faults: Faults, load: Load
) -> None:
    reads = {"USERAUTH_DATABASE__READS": "acknowledged"}
    (fault,) = faults(reads)
    assert "needs a synchronous standby" in fault
    settings = load({**reads, "DATABASE_URL": "postgresql://db.example"})
    assert settings.database.reads == "acknowledged"

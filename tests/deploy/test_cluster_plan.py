"""Mistakes in the plan of a cluster: one line for each, and nothing is written."""

from pathlib import Path

import pytest

from tests.harness.cluster_mistakes import PATH, PLAN, lines_of

TEXT = PLAN.read_text("utf-8")
NAME = "up to 63 lower-case letters a to z, digits and hyphens, with no hyphen at either end"
ADDRESS = 'an IPv4 address, such as "10.0.0.11"'
NETWORKS = 'a list of networks, such as ["10.0.0.0/24"]'
PORT = "an integer from 1 to 65535"

# What of the plan is replaced, by what, and the line.
MISTAKES = [
    ("ttl = 20", "ttl = 19", "[cluster] ttl must be an integer of at least 20"),
    ("ttl = 20", 'ttl = "x"', "[cluster] ttl must be an integer of at least 20"),
    ("ttl = 20", "ttl = true", "[cluster] ttl must be an integer of at least 20"),
    ("ttl = 20", "ttl = 30.0", "[cluster] ttl must be an integer of at least 20"),
    ("ttl = 20", "tttl = 20", "[cluster] 'tttl' is not known"),
    ("ttl = 20", '"a\\nb" = 20', "[cluster] 'a\\nb' is not known"),
    ('name = "userauth"\n', "", "[cluster] name is missing"),
    ('name = "userauth"', 'name = "user auth"', f"[cluster] name must be {NAME}"),
    ('"/var/lib/userauth-cluster"', "1", f"[cluster] data_dir must be {PATH}"),
    ('"/var/lib/userauth-cluster"', '"cluster"', f"[cluster] data_dir must be {PATH}"),
    ('"/var/lib/userauth-cluster"', "'''/a\"; id'''", f"[cluster] data_dir must be {PATH}"),
    ('"/usr/lib/postgresql/15/bin"', '"/a\'$HOME"', f"[cluster] bin_dir must be {PATH}"),
    ('["127.0.0.1/32"]', "[]", f"[cluster] clients must be {NETWORKS}"),
    ('["127.0.0.1/32"]', '"127.0.0.1/32"', f"[cluster] clients must be {NETWORKS}"),
    ('["127.0.0.1/32"]', '["127.0.0.1"]', f"[cluster] clients must be {NETWORKS}"),
    ('["127.0.0.1/32"]', '["::1/128", 5]', f"[cluster] clients must be {NETWORKS}"),
    ('["127.0.0.1/32"]', '["10.0.0.0/255.0.0.0"]', f"[cluster] clients must be {NETWORKS}"),
    ('name = "n2"', 'name = "n1"', "[[node]] 2: name is 'n1', as that of [[node]] 1"),
    ('name = "n2"', 'name = "../evil"', f"[[node]] 2: name must be {NAME}"),
    ('name = "n2"', 'name = "n2\\n"', f"[[node]] 2: name must be {NAME}"),
    ('name = "n2"', 'name = "-"', f"[[node]] 2: name must be {NAME}"),
    ('name = "n2"\naddress', 'name = "n2"\nadress', "[[node]] 2: address is missing"),
    ('name = "n2"\naddress', 'name = "n2"\nadress', "[[node]] 2: 'adress' is not known"),
    (
        '"n2"\naddress = "127.0.0.1"',
        '"n2"\naddress = "::1"',
        f"[[node]] 2: address must be {ADDRESS}",
    ),
    ("etcd = 18231", "etcd = 0", f"[[node]] 1: etcd must be {PORT}"),
    ("etcd = 18231", "etcd = 65536", f"[[node]] 1: etcd must be {PORT}"),
    ("etcd = 18231", 'etcd = "18231"', f"[[node]] 1: etcd must be {PORT}"),
    (
        "etcd = 18231",
        "etcd = 18211",
        "[[node]] 1: etcd is 18211 on 127.0.0.1, as that of [[node]] 1: postgres",
    ),
    (
        "port = 18251",
        "port = 18250",
        "[pgbouncer] port is 18250 on 127.0.0.1, as that of [haproxy] port",
    ),
    ('user = "haproxy"', 'user = "a b"', "[haproxy] user must be the name of a user"),
    ("[pgbouncer]", '[pgbouncer]\nuser = "postgres"', "[pgbouncer] 'user' is not known"),
    ("[pgbouncer]", "[pgbuncer]", "[pgbouncer] is missing"),
    ("[pgbouncer]", "[pgbuncer]", "'pgbuncer' is not known"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that does not exist."""
    return tmp_path / "folder"


@pytest.mark.parametrize(("right", "wrong", "line"), MISTAKES)
def test_a_mistake_in_a_plan_is_one_line_with_the_file_and_the_name(
    folder: Path, capsys: pytest.CaptureFixture[str], right: str, wrong: str, line: str
) -> None:
    assert right in TEXT
    plan = folder.with_name("plan.toml")
    plan.write_text(TEXT.replace(right, wrong, 1), "utf-8")
    found = lines_of(capsys, plan, folder)
    assert f"configure.py: {plan}: {line}" in found
    # A wrong name is also one that is missing.
    assert len(found) <= 2
    assert not folder.exists()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("node = [1]\n[cluster]", ["[cluster] name is missing", "[[node]] 1: must be a table"]),
        ("cluster = 1\nnode = 1", ["[cluster] must be a table", "[[node]] must be tables"]),
        ("node = []", ["[cluster] is missing", "[[node]] must be tables", "[haproxy] is missing"]),
        ("x = 1", ["[cluster] is missing", "[[node]] is missing", "'x' is not known"]),
    ],
)
def test_all_mistakes_in_a_plan_are_reported_at_once(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, lines: list[str]
) -> None:
    plan = folder.with_name("plan.toml")
    plan.write_text(text, "utf-8")
    found = lines_of(capsys, plan, folder)
    assert {f"configure.py: {plan}: {line}" for line in lines} <= set(found)


@pytest.mark.parametrize(
    "content", [b"x = [", b"\xff", b"x = " + 5000 * b"[", b"x = " + 5000 * b"9"]
)
def test_a_plan_that_is_not_toml_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    plan = folder.with_name("plan.toml")
    plan.write_bytes(content)
    [line] = lines_of(capsys, plan, folder)
    assert line.startswith(f"configure.py: {plan}: is not TOML in UTF-8: ")
    assert not folder.exists()


def test_a_plan_that_cannot_be_read_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = folder.with_name("plan.toml")
    assert lines_of(capsys, missing, folder) == [
        f"configure.py: {missing}: cannot be read: No such file or directory"
    ]
    assert lines_of(capsys, folder.parent, folder) == [
        f"configure.py: {folder.parent}: cannot be read: Is a directory"
    ]
    assert not folder.exists()

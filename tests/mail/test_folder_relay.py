"""Messages in a folder."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from pathlib import Path

import pytest

from mail.errors import RelayFault
from mail.folder_relay import FolderRelay
from mail.messages import KIND_FIELD

NOW = datetime(2026, 11, 29, 3, 30, 59, 123456, tzinfo=UTC)
NAME = "20261129T033059.123456Z-password-reset-"


LINK = f"http://127.0.0.1:8000/auth/reset?request={'b7' * 18}#{'x' * 100}"


def message() -> EmailMessage:
    made = EmailMessage(policy=SMTP)
    made[KIND_FIELD] = "password-reset"
    made["To"] = "alice@example.com"
    made.set_content(f"Schöne Grüße:\n{LINK}\n", cte="quoted-printable")
    made.add_alternative(f'<a href="{LINK}">ß</a>\n', subtype="html", cte="quoted-printable")
    return made


def single_part() -> EmailMessage:
    made = EmailMessage(policy=SMTPUTF8)
    made[KIND_FIELD] = "password-reset"
    made["To"] = "jörg@example.com"
    made.set_content(f"Schöne Grüße:\n{LINK}\n", cte="quoted-printable")
    made["Content-Language"] = "de"
    return made


def send(folder: Path, *recipients: str, make: Callable[[], EmailMessage] = message) -> None:
    relay = FolderRelay(folder, lambda: NOW)

    async def run() -> None:
        for recipient in recipients:
            await relay.send(make(), recipient)
        await relay.close()

    asyncio.run(run())


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_message_is_a_file_that_only_its_owner_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "mail"
    send(folder, "alice@example.com")
    assert names(folder) == [f"{NAME}alice@example.com.eml"]
    (file,) = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert message_from_bytes(file.read_bytes(), policy=SMTP)["To"] == "alice@example.com"


@pytest.mark.parametrize("make", [message, single_part])
def test_a_link_in_a_file_can_be_copied(tmp_path: Path, make: Callable[[], EmailMessage]) -> None:
    send(tmp_path, "alice@example.com", make=make)
    (file,) = tmp_path.iterdir()
    lines = file.read_text(encoding="utf-8").splitlines()
    assert {"Schöne Grüße:", LINK} <= {*lines}
    assert meaning(file.read_bytes()) == meaning(make().as_bytes())


def meaning(content: bytes) -> list[tuple[dict[str, str], object]]:
    """Return the fields of each part, without those of the encoding, and its text."""
    parts = message_from_bytes(content, policy=SMTPUTF8).walk()
    encoding = {"Content-Type", "Content-Transfer-Encoding", "MIME-Version"}
    return [
        (
            {name: value for name, value in part.items() if name not in encoding}
            | {"type": part.get_content_type()},
            None if part.is_multipart() else part.get_content(),
        )
        for part in parts
    ]


def test_a_message_does_not_replace_another_of_the_same_time(tmp_path: Path) -> None:
    send(tmp_path, "alice@example.com", "alice@example.com", "bob@example.com")
    assert names(tmp_path) == [
        f"{NAME}alice@example.com-2.eml",
        f"{NAME}alice@example.com.eml",
        f"{NAME}bob@example.com.eml",
    ]


@pytest.mark.parametrize(
    "recipient", ["../../etc/passwd@x", "/a@x", "a\0b@x", "a\nb@x", "jörg@x", "a" * 300 + "@x"]
)
def test_the_name_of_a_file_is_safe_whatever_the_address(tmp_path: Path, recipient: str) -> None:
    folder = tmp_path / "mail"
    send(folder, recipient)
    (name,) = names(folder)
    assert name.startswith(NAME)
    assert name.endswith(".eml")
    assert name.isascii()
    assert not {"/", "\0", "\n"} & {*name}
    assert len(name) < 160
    assert names(tmp_path) == ["mail"]


def test_a_folder_that_cannot_be_written_is_a_fault_of_the_relay(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RelayFault, match="the folder of messages: File exists"):
        send(tmp_path / "file", "alice@example.com")
    assert names(tmp_path) == ["file"]


def test_too_many_messages_of_one_name_are_a_fault_that_says_so(tmp_path: Path) -> None:
    send(tmp_path, *["alice@example.com"] * 99)
    with pytest.raises(RelayFault, match="too many messages of one name"):
        send(tmp_path, "alice@example.com")

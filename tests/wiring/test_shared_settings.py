"""The digests of the settings that all servers on a database must share."""

import json

import pytest

from settings import FIELDS, Settings
from tests.harness.configuration import KEY, settings_with
from wiring.shared_settings import shared_digests

PEPPER = "pQ7sVb2Xn9LdKf4Wm6TzRc8HjYg1EuAo"
OTHER = "Wm6TzRc8HjYg1EuAopQ7sVb2Xn9LdKf4"


def differing(one: Settings, other: Settings) -> set[str]:
    first, second = (shared_digests(each, [KEY]) for each in (one, other))
    return {name for name in first if first[name] != second[name]}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("THROTTLE__PAIR_FAILURES", 11, {"throttle.pair_failures"}),
        ("THROTTLE__LONGEST_DELAY_SECONDS", 60, {"throttle.longest_delay_seconds"}),
        ("TOKENS__LIFETIME_SECONDS", 60, {"tokens.lifetime_seconds"}),
        ("SESSIONS__IDLE_SECONDS", 600, {"sessions.idle_seconds"}),
        ("PASSWORDS__BCRYPT_COST", 5, {"passwords.bcrypt_cost"}),
        ("PASSWORDS__PEPPER", PEPPER, {"passwords.pepper"}),
        ("REGISTRATION__OPEN", False, {"registration.open"}),
        ("AUDIT__KEEP_DAYS", 1, {"audit.keep_days"}),
        ("MAIL__USER_PER_HOUR", 1, {"mail.user_per_hour"}),
        # What each process may have of its own.
        ("PASSWORDS__WORKERS", 1, set()),
        ("SERVER__PORT", 1, set()),
        ("DATABASE__POOL_MAX", 3, set()),
        ("THROTTLE__HASHES_PER_MINUTE", 3, set()),
        ("LOGGING__REQUESTS", "none", set()),
    ],
)
def test_a_difference_has_the_name_of_its_setting(
    name: str, value: object, expected: set[str]
) -> None:
    assert differing(settings_with(), settings_with(**{name: value})) == expected


def test_the_digests_follow_the_signing_keys() -> None:
    settings = settings_with(PASSWORDS__PEPPER=PEPPER)
    one, other = (shared_digests(settings, keys) for keys in ([KEY], [OTHER, KEY]))
    assert {name for name in one if one[name] != other[name]} == {"tokens.keys"}


def test_the_digests_contain_no_secret_and_no_value() -> None:
    settings = settings_with(
        PASSWORDS__PEPPER=PEPPER, PASSWORDS__SERVICE_WORDS="acme", MAIL__FROM="a@example.com"
    )
    text = json.dumps(dict(shared_digests(settings, [KEY])))
    for secret in (KEY, PEPPER, "acme", "example.com"):
        assert secret not in text


def test_every_section_is_either_shared_or_of_each_process() -> None:
    shared = {name.partition(".")[0] for name in shared_digests(settings_with(), [KEY])}
    of_each = {"server", "database", "cors", "logging", "metrics", "docs", "pages", "limits"}
    assert shared | of_each == {name for name, fields in FIELDS.items() if fields}
    assert not shared & of_each

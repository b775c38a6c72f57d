"""The kinds of messages, as docs and links rely on them."""

from rules.message_kinds import RESETS, MessageKind

HOUR, DAY = 3600, 86_400


def test_secrets_expire_after_an_hour_a_day_or_seven_days() -> None:
    lifetimes = {kind: kind.rules.lifetime_seconds for kind in MessageKind if kind.rules.page}
    assert lifetimes == {
        MessageKind.PASSWORD_RESET: HOUR,
        MessageKind.UNDO_RESET: HOUR,
        MessageKind.VERIFICATION: DAY,
        MessageKind.EMAIL_CHANGE: DAY,
        MessageKind.INVITATION: 7 * DAY,
        MessageKind.EMAIL_UNDO: 7 * DAY,
    }


def test_the_link_of_each_kind_opens_the_page_of_its_purpose() -> None:
    assert {kind: kind.rules.page for kind in MessageKind if kind.rules.page} == {
        MessageKind.PASSWORD_RESET: "reset",
        MessageKind.UNDO_RESET: "reset",
        MessageKind.INVITATION: "reset",
        MessageKind.VERIFICATION: "verify",
        MessageKind.EMAIL_CHANGE: "verify",
        MessageKind.EMAIL_UNDO: "undo",
    }


def test_notices_of_changes_are_urgent_and_that_of_a_taken_address_is_not() -> None:
    assert {kind for kind in MessageKind if kind.rules.is_urgent} == {
        MessageKind.EMAIL_UNDO,
        # The user has no password until then.
        MessageKind.UNDO_RESET,
        MessageKind.PASSWORD_CHANGED,
        MessageKind.USER_DELETED,
    }


def test_the_kinds_that_set_a_password_have_the_page_of_a_reset() -> None:
    assert set(RESETS) == {kind for kind in MessageKind if kind.rules.page == "reset"}

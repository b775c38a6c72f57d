"""Every page in every state: which path shows it, and which form has to be sent first."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.harness.api import PASSWORD
from tests.harness.page_site import PageSite
from tests.harness.person import ACCOUNT, EMAIL, SIGN_IN, SIGN_OUT, SUBMIT, Person

NEW = "unverified@example.com"
BUSY = "busy@example.com"
WRONG = {"current_password": "wrong horse battery"}
_USER_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1",
    "x" * 300,
)


@dataclass(frozen=True)
class State:
    """A page after a person opened it, or after its form was sent."""

    name: str
    # With the names of what ``prepare`` returns in braces.
    path: str
    # What is typed into the form before it is sent; None if it is not sent.
    typed: Mapping[str, str] | None = None
    # Whether docs/pages.md shows it.
    is_pictured: bool = False


ANONYMOUS = (
    State("sign-in", f"{SIGN_IN}?next=/docs", is_pictured=True),
    State("sign-in-missing", SIGN_IN, {}),
    State("sign-in-wrong", SIGN_IN, {"email": EMAIL, "password": "wrong horse"}, is_pictured=True),
    State("sign-in-throttled", SIGN_IN, {"email": BUSY, "password": PASSWORD}),
    *(
        State(f"sign-in-after-{done}", f"{SIGN_IN}?done={done}")
        for done in ("reset", "verified", "undone", "undone-without-mail")
    ),
    State("sign-up", "/auth/sign-up", is_pictured=True),
    State("sign-up-faults", "/auth/sign-up", {"email": "susan@", "password": "short"}),
    State("sign-up-taken", "/auth/sign-up", {"email": EMAIL, "password": PASSWORD}),
    State("sign-out-without-session", SIGN_OUT),
    State("forgot", "/auth/forgot", is_pictured=True),
    State("forgot-faults", "/auth/forgot", {"email": "susan@"}),
    State("reset", "/auth/reset"),
    State("reset-sent", "/auth/forgot", {"email": EMAIL}),
    State("reset-missing", "/auth/reset", {}),
    State("reset-wrong", "/auth/reset", {"code": "12345678", "password": PASSWORD}),
    State("reset-link", "/auth/reset?request=x#secret", is_pictured=True),
    State("verify", "/auth/verify", is_pictured=True),
    State("verify-sent", "/auth/verify?done=verification-sent"),
    State("verify-missing", "/auth/verify", {}),
    State("verify-wrong", "/auth/verify", {"email": EMAIL, "password": "x", "code": "1"}),
    State("verify-link", "/auth/verify#secret"),
    State("undo", "/auth/undo"),
    State("undo-missing", "/auth/undo", {}),
    State("undo-link", "/auth/undo#secret", is_pictured=True),
    State("deleted", f"{ACCOUNT}/deleted", is_pictured=True),
    State("not-found", "/auth/nothing", is_pictured=True),
    State("wrong-method", f"{ACCOUNT}/verification"),
)
SIGNED_IN = (
    State("account", ACCOUNT, is_pictured=True),
    *(
        State(f"account-after-{done}", f"{ACCOUNT}?done={done}")
        for done in ("name", "email", "password", "verification")
    ),
    State("signed-in", SIGN_IN, is_pictured=True),
    State("sign-up-signed-in", "/auth/sign-up"),
    State("sign-out", SIGN_OUT, is_pictured=True),
    State("name", f"{ACCOUNT}/name", is_pictured=True),
    State("name-faults", f"{ACCOUNT}/name", {"name": "x" * 201}),
    State("name-wrong", f"{ACCOUNT}/name", WRONG),
    State("email", f"{ACCOUNT}/email", is_pictured=True),
    State("email-faults", f"{ACCOUNT}/email", {"email": "susan@"}),
    State("email-wrong", f"{ACCOUNT}/email", {"email": "susan@example.org", **WRONG}),
    State("password", f"{ACCOUNT}/password", is_pictured=True),
    State("password-faults", f"{ACCOUNT}/password", {"password": "short"}),
    State("password-wrong", f"{ACCOUNT}/password", {"password": PASSWORD, **WRONG}),
    State("devices", f"{ACCOUNT}/devices", is_pictured=True),
    State("devices-after-device", f"{ACCOUNT}/devices?done=device"),
    State("devices-after-devices", f"{ACCOUNT}/devices?done=devices"),
    State("device", f"{ACCOUNT}/devices/{{device}}", is_pictured=True),
    State("device-wrong", f"{ACCOUNT}/devices/{{device}}", WRONG),
    State("device-unknown", f"{ACCOUNT}/devices/{{unknown}}"),
    State("others", f"{ACCOUNT}/devices/others", is_pictured=True),
    State("others-wrong", f"{ACCOUNT}/devices/others", WRONG),
    State("events", f"{ACCOUNT}/events", is_pictured=True),
    State("events-older", f"{ACCOUNT}/events?before={{newest}}"),
    State("events-none", f"{ACCOUNT}/events?before={{oldest}}"),
    State("events-faults", f"{ACCOUNT}/events?before=x"),
    State("delete", f"{ACCOUNT}/delete", is_pictured=True),
    State("delete-missing", f"{ACCOUNT}/delete", {}),
    State("delete-wrong", f"{ACCOUNT}/delete", WRONG),
    State("verify-in-session", "/auth/verify"),
    State("verify-in-session-wrong", "/auth/verify", {"code": "12345678"}),
    State("verify-in-session-done", "/auth/verify?done=confirmed"),
    State("not-found-in-session", "/auth/nothing"),
)
# On a server without messages and sign-ups, with a logo and links.
RESTRICTED = (
    State("restricted-sign-in", SIGN_IN),
    State("restricted-sign-up", "/auth/sign-up"),
    State("restricted-forgot", "/auth/forgot"),
    State("restricted-reset", "/auth/reset"),
    State("restricted-verify", "/auth/verify"),
)
RESTRICTED_SIGNED_IN = (
    State("restricted-account", ACCOUNT),
    State("restricted-email", f"{ACCOUNT}/email"),
    State("restricted-devices-one", f"{ACCOUNT}/devices"),
)
# On a server that requires a verified address.
UNVERIFIED = (
    State("unverified-sign-in", SIGN_IN, {"email": NEW, "password": PASSWORD}),
    State("unverified-sign-up", "/auth/sign-up", {"email": "x@example.com", "password": PASSWORD}),
)


def prepare(site: PageSite) -> dict[str, str]:
    """Fill the pages of an account; return the parts of paths that the states name."""
    site.register(EMAIL, "Susan")
    # More than a page of events shows.
    site.insert_events(EMAIL, 60)
    devices = [site.log_in(EMAIL, user_agent) for user_agent in _USER_AGENTS]
    site.register(BUSY)
    site.fail_to_log_in(BUSY, 12)
    events = site.events(EMAIL)
    return {
        "device": devices[0],
        "unknown": "00000000-0000-4000-8000-000000000000",
        "newest": events[0],
        "oldest": events[-1],
    }


def show(person: Person, state: State, places: Mapping[str, str]) -> None:
    """Bring a page into a state."""
    person.open(state.path.format_map(places))
    if state.typed is not None:
        person.fill(**state.typed)
        person.go(SUBMIT)

"""The kinds of audit events, and why tokens are revoked."""

from enum import StrEnum


class EventKind(StrEnum):
    """The kind of an event. The values are stored and returned by the API, and do not change."""

    REGISTERED = "registered"
    IMPORTED = "imported"
    EXPORTED = "exported"
    BACKED_UP = "backed-up"
    RESTORED = "restored"
    ADDRESS_TAKEN = "address-taken"
    ADDED = "added"
    INVITED = "invited"
    RESET_LINK_MADE = "reset-link-made"
    LANGUAGE_CHANGED = "language-changed"
    LOGGED_IN = "logged-in"
    PASSWORD_FAILED = "password-failed"
    THROTTLED = "throttled"
    LOGIN_REJECTED = "login-rejected"
    LOGIN_DISABLED = "login-disabled"
    RESET_REQUESTED = "reset-requested"
    PASSWORD_RESET = "password-reset"
    EMAIL_VERIFIED = "email-verified"
    EMAIL_CHANGED = "email-changed"
    EMAIL_RESTORED = "email-restored"
    CODE_FAILED = "code-failed"
    NAME_CHANGED = "name-changed"
    PASSWORD_CHANGED = "password-changed"
    TOKEN_REVOKED = "token-ended"
    TOKENS_REVOKED = "tokens-ended"
    DISABLED = "disabled"
    ENABLED = "enabled"
    DELETED = "deleted"
    CLIENT_ADDED = "client-added"
    CLIENT_SECRET_REPLACED = "client-secret-replaced"
    CLIENT_REMOVED = "client-removed"
    CLIENT_FAILED = "client-failed"
    KEY_ADDED = "key-added"
    KEY_RETIRED = "key-retired"
    USER_READ = "user-read"
    USERS_LISTED = "users-listed"
    AUDIT_READ = "audit-read"
    THROTTLE_READ = "throttle-read"
    THROTTLE_CLEARED = "throttle-cleared"
    MAIL_READ = "mail-read"
    MAIL_RETRIED = "mail-retried"
    MAIL_DROPPED = "mail-dropped"

    @property
    def is_failure(self) -> bool:
        """Return whether it is a failed attempt, of which a caller can make any number.

        Only the first ones of a minute are events of their own: see services/failure_counts.py.
        """
        return self in LOGIN_FAILURES | {EventKind.CLIENT_FAILED, EventKind.CODE_FAILED}

    @property
    def outcome(self) -> str:
        """Return success or failure."""
        return "failure" if self.is_failure else "success"


# Failures of users: a wrong password, one that begins a wait, any password during a wait, and the
# correct password of a disabled user.
LOGIN_FAILURES = frozenset(
    {
        EventKind.PASSWORD_FAILED,
        EventKind.THROTTLED,
        EventKind.LOGIN_REJECTED,
        EventKind.LOGIN_DISABLED,
    }
)


class Revocation(StrEnum):
    """Why a valid token is revoked."""

    LOGGED_OUT = "logged-out"
    ENDED = "ended"
    CLIENT = "client"
    SURPLUS = "surplus"
    REPLACED = "replaced"
    PASSWORD_CHANGED = "password-changed"
    EMAIL_RESTORED = "email-restored"
    USER_DELETED = "user-deleted"

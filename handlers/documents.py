"""How things look in JSON."""

from datetime import UTC, datetime

from auth.rows import EventRow, TokenRow, UserRow
from auth.sessions import Introspection


def user_document(user: UserRow) -> dict[str, object]:
    """Return the document of a user."""
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "created_at": rfc3339(user.created_at),
        "updated_at": rfc3339(user.updated_at),
    }


def token_document(token: TokenRow, *, current: bool) -> dict[str, object]:
    """Return the document of a token in the list of its owner."""
    return {
        "id": token.id,
        "created_at": rfc3339(token.created_at),
        "expires_at": rfc3339(token.expires_at),
        "last_used_at": None if token.last_used_at is None else rfc3339(token.last_used_at),
        "user_agent": token.user_agent,
        "ip": token.ip,
        "current": current,
    }


def event_document(event: EventRow) -> dict[str, object]:
    """Return the document of an event in the list of whom it happened to."""
    return {
        "id": str(event.id),
        "at": rfc3339(event.at),
        "kind": event.kind,
        "outcome": event.outcome,
        "ip": event.ip,
        "client_id": event.client_id,
        "request_id": event.request_id,
    }


def introspection_document(found: Introspection | None) -> dict[str, object]:
    """Return what a service is told of a token (RFC 7662, section 2.2)."""
    if found is None:
        return {"active": False}
    return {
        "active": True,
        "sub": found.user.id,
        "email": found.user.email,
        "name": found.user.name,
        "iat": found.issued_at,
        "exp": found.expires_at,
        "jti": found.token_id,
        "token_type": "Bearer",
    }


def rfc3339(time: datetime) -> str:
    """Return a time as RFC 3339 has it, in UTC, to the millisecond."""
    if time.tzinfo is not UTC:
        time = time.astimezone(UTC)
    return time.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"

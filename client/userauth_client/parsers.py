"""Parsers of successful responses, one per result."""

from http import HTTPStatus

from userauth_client.models import (
    ActiveToken,
    Event,
    EventPage,
    Token,
    TokenRecord,
    User,
    VerifiedUser,
)
from userauth_client.responses import Document, Response


def nothing(_response: Response) -> None:
    """Accept a response of which only the status matters."""


def user(response: Response) -> User:
    document = response.document()
    return User(
        id=document.text("id"),
        email=document.text("email"),
        name=document.optional_text("name"),
        created_at=document.time("created_at"),
        updated_at=document.time("updated_at"),
        email_verified=_email_verified(document),
    )


def registered_user(response: Response) -> User | None:
    return None if response.status == HTTPStatus.ACCEPTED else user(response)


def request_id(response: Response) -> str:
    return response.document().text("request")


def token(response: Response) -> Token:
    document = response.document()
    return Token(document.text("token"), document.optional_time("expires_at"))


def token_records(response: Response) -> tuple[TokenRecord, ...]:
    return tuple(map(_token_record, response.document().objects("tokens")))


def _token_record(document: Document) -> TokenRecord:
    return TokenRecord(
        id=document.text("id"),
        created_at=document.time("created_at"),
        expires_at=document.time("expires_at"),
        last_used_at=document.optional_time("last_used_at"),
        user_agent=document.optional_text("user_agent"),
        ip=document.optional_text("ip"),
        current=document.flag("current"),
        # Servers of earlier versions have tokens of this kind only.
        kind=document.text("kind") if "kind" in document.members else "token",
    )


def revoked_count(response: Response) -> int:
    return response.document().number("revoked")


def event_page(response: Response) -> EventPage:
    document = response.document()
    events = tuple(map(_event, document.objects("events")))
    return EventPage(events, document.optional_text("before"))


def _event(document: Document) -> Event:
    return Event(
        id=document.text("id"),
        at=document.time("at"),
        kind=document.text("kind"),
        outcome=document.text("outcome"),
        ip=document.optional_text("ip"),
        client_id=document.optional_text("client_id"),
        request_id=document.optional_text("request_id"),
        times=document.number("times") if "times" in document.members else 1,
    )


def verified_user(response: Response) -> VerifiedUser:
    return VerifiedUser(
        user_id=response.decoded_header("X-Auth-User-Id"),
        email=response.decoded_header("X-Auth-Email"),
        name=response.decoded_header("X-Auth-Name") or None,
        email_verified=response.headers.get("X-Auth-Email-Verified") == "true",
    )


def active_token(response: Response) -> ActiveToken | None:
    document = response.document()
    if not document.flag("active"):
        return None
    return ActiveToken(
        token_id=document.text("jti"),
        user_id=document.text("sub"),
        email=document.text("email"),
        name=document.optional_text("name"),
        issued_at=document.epoch("iat"),
        expires_at=document.epoch("exp"),
        email_verified=_email_verified(document),
    )


def _email_verified(document: Document) -> bool:
    # Servers of earlier versions verify no email addresses.
    return "email_verified" in document.members and document.flag("email_verified")

"""``manage.py mail``: the messages to users, and the relay that sends them."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import click

from commands.administrator import (
    Administrator,
    NotFoundError,
    Result,
    as_json,
    limit_option,
    not_empty,
    shown_time,
    with_user,
)
from commands.mail_advice import advice_on
from commands.terminal import print_documents, print_fields, print_json, say
from db.message_rows import MessageStateRow
from mail.errors import MailError
from rules.counting import counted
from services.all_services import AdministrationServices
from services.mail_administration import MessageNotFound, MessageNotRetried

_TITLES = ("ID", "CREATED", "KIND", "RECIPIENT", "STATE", "ATTEMPTS", "DUE", "REASON")
_STATES = ("due", "sent", "dead", "void", "printed")

message_argument = click.argument("message", metavar="ID", type=click.UUID)


def _not_empty_if_given(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    return None if value is None else not_empty(context, parameter, value)


@click.group()
def mail() -> None:
    """Show, retry and drop messages to users, and test the relay."""


@mail.command("list")
@click.option("--state", type=click.Choice(_STATES), help="Only messages in this state.")
@click.option(
    "--user",
    metavar="EMAIL|ID",
    callback=_not_empty_if_given,
    help="Only messages to this user or email address.",
)
@limit_option(100)
@as_json
@click.pass_obj
def list_messages(
    administrator: Administrator, state: str | None, user: str | None, limit: int, as_json: bool
) -> None:
    """List messages, newest first.

    A message is due until it is sent, dead if the server gave up on it, and void if a later change
    made it pointless. The links of users invite and reset-link are printed, and not sent. Messages
    are deleted a day after they expire.
    """
    found = with_user(
        administrator,
        user or "",
        lambda services: services.mail.find_all(state=state, email_or_id=user, limit=limit),
    )
    print_documents(_TITLES, [_line(each) for each in found], as_json=as_json)


@mail.command()
@message_argument
@as_json
@click.pass_obj
def show(administrator: Administrator, message: UUID, as_json: bool) -> None:
    """Show a message, without its link and its code."""
    found = _with_message(administrator, message, lambda services: services.mail.get(str(message)))
    document = _document(found)
    if as_json:
        print_json(document)
        return
    print_fields(document)


@mail.command()
@click.argument("message", metavar="[ID]", type=click.UUID, required=False)
@click.option("--dead", is_flag=True, help="Send all messages that the server gave up on.")
@click.pass_obj
def retry(administrator: Administrator, message: UUID | None, dead: bool) -> None:
    """Retry a message at once after a failed attempt.

    Messages that are expired or void are not sent.
    """
    if (message is None) != dead:
        raise click.UsageError("Specify either the ID of a message or --dead.")
    if message is None:
        number = administrator.run(lambda services: services.mail.retry_dead())
        say(f"The server will send {counted(number, 'message')} again.")
        return
    try:
        _with_message(administrator, message, lambda services: services.mail.retry(str(message)))
    except MessageNotRetried as error:
        raise click.ClickException(f"The message {message} is {error}.") from None
    say(f"The server will send the message {message} again.")


@mail.command()
@message_argument
@click.pass_obj
def drop(administrator: Administrator, message: UUID) -> None:
    """Do not send a message, and make its link and its code void.

    A message that was sent before stays in the mailbox of its recipient.
    """
    is_new = _with_message(
        administrator, message, lambda services: services.mail.drop(str(message))
    )
    say(f"Dropped the message {message}." if is_new else f"The message {message} was already void.")


@mail.command()
@click.argument("address", metavar="ADDRESS", callback=not_empty)
@click.pass_obj
def test(administrator: Administrator, address: str) -> None:
    """Send a test message now, and report why that fails.

    Uses the relay and the sender of the settings, but not the database.
    """
    try:
        location = administrator.send_test_message(address)
    except MailError as error:
        raise click.ClickException(f"{str(error).rstrip('.')}. {advice_on(error)}") from None
    say(f"Sent a test message to {address} through {location}.")


def _with_message(
    administrator: Administrator,
    message: UUID,
    work: Callable[[AdministrationServices], Awaitable[Result]],
) -> Result:
    """Do some work with a message; raises NotFoundError if it does not exist."""
    try:
        return administrator.run(work)
    except MessageNotFound:
        raise NotFoundError(f"No message has the ID {message}.") from None


def _line(message: MessageStateRow) -> dict[str, str | int | None]:
    return {
        "id": message.id,
        "created_at": shown_time(message.created_at),
        "kind": message.kind,
        "recipient": message.recipient,
        "state": message.state,
        "attempts": message.attempts,
        "due": shown_time(message.due_at),
        "reason": message.failure,
    }


def _document(message: MessageStateRow) -> dict[str, str | int | None]:
    return {
        **_line(message),
        "user_id": message.user_id,
        "language": message.language,
        "expires_at": shown_time(message.expires_at),
        "sent_at": shown_time(message.sent_at),
        "given_up_at": shown_time(message.failed_at),
        "void_since": shown_time(message.voided_at),
        "used_at": shown_time(message.used_at),
        "wrong_codes": message.tries,
    }

"""How a request begins, and how its query and body are checked and parsed."""

import asyncio

from contract.calls import Call
from contract.forms import FieldRules, Form, FormType, NoFields
from contract.parameters import Parameter, Value, check_names
from handlers.logged import LoggedHandler
from rules.errors import (
    CallerDisconnected,
    ContentTooLarge,
    HttpsRequired,
    UnsupportedMediaType,
)
from transport.client_address import claims_https, peer_of

_NOT_ENCODED = frozenset({"", "identity"})


class InputHandler(LoggedHandler):
    """A path whose calls declare what may be sent."""

    def initialize(self) -> None:
        super().initialize()
        self._task: asyncio.Task[object] | None = None

    def begin(self) -> None:
        """Start to measure the request; raise CallerDisconnected if the caller disconnected."""
        self._task = asyncio.current_task()
        self._timing.activate()
        if self.exchange.is_disconnected:
            # Before, on_connection_close() knew no task to abandon.
            raise CallerDisconnected

    def check_https(self) -> None:
        """Raise HttpsRequired for plain HTTP if the settings require HTTPS."""
        if not self.application.require_https:
            return
        if self.application.addresses.used_https(self.request):
            return
        if claims_https(self.request):
            self.application.untrusted_proxy.log(peer=peer_of(self.request))
        raise HttpsRequired

    def on_connection_close(self) -> None:
        """Cancel pending work when the caller disconnects."""
        super().on_connection_close()
        if self._task is not None:
            self.application.services.hash_queue.abandon(self._task)

    def check_input(self, call: Call) -> None:
        """Reject a body by its media type, then by its size; then unknown query parameters."""
        self.check_body(call.body)
        if self.request.query and not self.ignores_unknown_parameters:
            check_names(map(_decode_name, self.request.query_arguments), call.query)
        if call.body is NoFields and self.request.body:
            self.body(NoFields)

    def body(self, form: type[FormType], rules: FieldRules | None = None) -> FormType:
        """Return the body as a form; raise MalformedRequest or InvalidFields."""
        if not self.request.body and self.find_call().body_is_optional:
            return form.of({})
        return form.read(self.request.body, rules)

    def query(self, parameter: Parameter[Value]) -> Value:
        """Return the value of a query parameter; raise InvalidParameters."""
        return parameter.read(self.get_query_arguments(parameter.name, strip=False))

    def check_body(self, form: type[Form]) -> None:
        """Reject a body of another media type, or above the limit; an empty body is allowed."""
        headers = self.request.headers
        if self.request.body or self.exchange.is_body_too_large:
            given = headers.get("Content-Type", "").partition(";")[0].strip(" \t").lower()
            encoding = headers.get("Content-Encoding", "").lower()
            if given != form.media_type or encoding not in _NOT_ENCODED:
                raise UnsupportedMediaType(form.media_type)
        if self.exchange.is_body_too_large:
            raise ContentTooLarge(self.application.max_body_bytes)


def _decode_name(name: str) -> str:
    # Tornado decodes the names of parameters as Latin-1.
    return name.encode("latin-1").decode(errors="replace")

"""The random calls of a client: mostly meaningful ones, sometimes invalid ones."""

import itertools
import random
from dataclasses import replace

from soak import calls
from soak.calls import Call, Credentials, Endpoint, Fields, InvalidBody
from soak.model import UserModel
from soak.states import State

_FORMS = ("Bearer", "Basic token", "Basic base64", "Basic base64:")
_INVALID_BODIES = (
    *(InvalidBody(body, 400) for body in (b"", b"{", b'{"name": NaN}', b"[]", b"\xff")),
    *(
        InvalidBody(body, 422)
        for body in (b'{"nam": "x"}', b'{"name": 5}', b'{"password": "short"}')
    ),
)
_MAX_VALID_TOKENS = 5
_FORGED_TOKEN = "00000000-0000-4000-8000-000000000000.4102444800." + 43 * "A"


class CallGenerator:
    """Generates the calls of one client."""

    def __init__(
        self, model: UserModel, generator: random.Random, numbers: "itertools.count[int]"
    ) -> None:
        self._model = model
        self._random = generator
        self._numbers = numbers

    def next_call(self) -> Call:
        """Return a call that suits the most likely state of the user."""
        state = self._model.most_likely()
        if self._model.is_in_doubt and self._random.random() < 0.9:
            # A read resolves doubts without adding any.
            call = self._read(state)
        elif state.exists:
            call = self._call_of_user(state)
        else:
            call = self._call_without_user(state)
        if not self._model.is_in_doubt and self._random.random() < 0.01:
            return replace(call, kind="disconnect", aborts=True)
        return call

    def read_back(self) -> list[Call]:
        """Return calls that show on the other server whether a change took effect."""
        state = self._model.most_likely()
        tokens = list(self._model.revoked_tokens)[-1:]
        return [*(self.read_by_token(token) for token in tokens), self._read(state)]

    def register(self) -> Call:
        """Return a registration, which also shows whether the email address is taken."""
        fields = Fields(self._model.email, self._new_name(), self._new_password())
        return self._call("register", calls.REGISTER, fields=fields)

    def read_by_password(self, password: str, kind: str = "read, Basic password") -> Call:
        return self._call(kind, calls.READ, self._password(password))

    def read_by_token(self, token: str, kind: str = "") -> Call:
        credentials = self._token(token)
        kind = kind or f"read, {_FORMS[credentials.form]}"
        return self._call(kind, calls.READ, credentials)

    def log_in(self, password: str, kind: str = "log in") -> Call:
        endpoint = self._random.choice((calls.LOG_IN_BY_GET, calls.LOG_IN))
        return self._call(kind, endpoint, self._password(password))

    def _call_without_user(self, state: State) -> Call:
        dice = self._random.random()
        if dice < 0.65:
            return self.register()
        if dice < 0.75:
            return self._invalid(self.register(), "register")
        return self._with_invalid_credentials(state)

    def _call_of_user(self, state: State) -> Call:
        dice = self._random.random()
        if dice < 0.36:
            return self._read(state)
        if dice < 0.54 and len(state.valid_tokens) < _MAX_VALID_TOKENS:
            return self.log_in(state.password)
        if dice < 0.75:
            return self._change(state)
        if dice < 0.79:
            return self._call("delete", calls.DELETE, self._any_credentials(state))
        if dice < 0.90:
            is_repeated = dice < 0.84
            return self._repeated_registration() if is_repeated else self._invalid_change(state)
        return self._with_invalid_credentials(state)

    def _read(self, state: State) -> Call:
        if state.valid_tokens and self._random.random() < 0.75:
            return self.read_by_token(self._random.choice(sorted(state.valid_tokens)))
        return self.read_by_password(state.password or self._new_password())

    def _change(self, state: State) -> Call:
        credentials = self._any_credentials(state)
        dice = self._random.random()
        if dice < 0.55:
            fields = Fields(name=self._new_name())
            return self._call("change name", calls.CHANGE, credentials, fields)
        by = "token" if isinstance(credentials, calls.TokenCredentials) else "password"
        name = self._new_name() if dice > 0.9 else None
        fields = Fields(name=name, password=self._new_password())
        return self._call(f"change password by {by}", calls.CHANGE, credentials, fields)

    def _with_invalid_credentials(self, state: State) -> Call:
        """Return a call with credentials that are no longer valid, or never were."""
        dice = self._random.random()
        if dice < 0.4 and self._model.revoked_tokens:
            token = self._random.choice(list(self._model.revoked_tokens))
            return self.read_by_token(token, "read, revoked token")
        if dice < 0.6 and self._model.old_passwords:
            password = self._random.choice(list(self._model.old_passwords))
            return self.log_in(password, kind="log in, old password")
        if dice < 0.7:
            return self.read_by_token(_FORGED_TOKEN, "read, forged token")
        if dice < 0.8 and state.valid_tokens:
            token = min(state.valid_tokens)
            return self._call("log in, token", calls.LOG_IN_BY_GET, self._token(token))
        if dice < 0.9:
            return self.read_by_password(self._new_password(), kind="read, wrong password")
        return self.log_in(self._new_password(), kind="log in, wrong password")

    def _repeated_registration(self) -> Call:
        return replace(self.register(), kind="register again")

    def _invalid_change(self, state: State) -> Call:
        change = self._call("change", calls.CHANGE, self._any_credentials(state))
        return self._invalid(change, "change")

    def _invalid(self, call: Call, kind: str) -> Call:
        body = self._random.choice(_INVALID_BODIES)
        return replace(call, kind=f"{kind}, {body.status}", invalid_body=body)

    def _any_credentials(self, state: State) -> Credentials:
        if state.valid_tokens and self._random.random() < 0.65:
            return self._token(self._random.choice(sorted(state.valid_tokens)))
        return self._password(state.password)

    def _token(self, token: str) -> calls.TokenCredentials:
        return calls.TokenCredentials(token, self._random.randrange(len(_FORMS)))

    def _password(self, password: str) -> calls.PasswordCredentials:
        email = self._model.email
        email = email.upper() if self._random.random() < 0.2 else email
        return calls.PasswordCredentials(email, password)

    def _new_password(self) -> str:
        return f"pässword:{next(self._numbers)} {self._random.getrandbits(32):x}"

    def _new_name(self) -> str:
        return f"Susan {next(self._numbers)}"

    def _call(
        self,
        kind: str,
        endpoint: Endpoint,
        credentials: Credentials | None = None,
        fields: Fields = Fields(),  # noqa: B008 - frozen
    ) -> Call:
        return Call(next(self._numbers), kind, endpoint, credentials, fields)

"""What a client does next: mostly what makes sense, now and then what does not."""

import itertools
import random
from dataclasses import replace

from soak.book import Book
from soak.calls import ByPassword, ByToken, Call, Effect
from soak.worlds import World

USER = "/api/user"
REGISTER = "/api/user/register"
LOG_IN = "/api/user/login"
_FORMS = ("Bearer", "Basic token", "Basic base64", "Basic base64:")
_MALFORMED = ((b"", 400), (b"{", 400), (b'{"name": NaN}', 400), (b"[]", 400), (b"\xff", 400))
_REFUSED = ((b'{"nam": "x"}', 422), (b'{"name": 5}', 422), (b'{"password": "short"}', 422))
_MOST_LIVE_TOKENS = 5
_FOREIGN_TOKEN = "00000000-0000-4000-8000-000000000000.4102444800." + 43 * "A"


class Chooser:
    """Makes the calls of one client, at random."""

    def __init__(self, book: Book, choice: random.Random, numbers: "itertools.count[int]") -> None:
        self._book = book
        self._random = choice
        self._numbers = numbers

    def next_call(self) -> Call:
        """Return something to do in the state in which the user probably is."""
        world = self._book.guess()
        if self._book.is_in_doubt and self._random.random() < 0.9:
            # Reading tells what is in doubt, and makes nothing more doubtful.
            call = self._reading(world)
        elif world.exists:
            call = self._of_a_user(world)
        else:
            call = self._of_nobody(world)
        if not self._book.is_in_doubt and self._random.random() < 0.01:
            return replace(call, kind="hang up", hangs_up=True)
        return call

    def read_back(self) -> list[Call]:
        """Return what shows on the other server whether a change is there."""
        world = self._book.guess()
        calls = [self.read_by_token(token) for token in list(self._book.dead_tokens)[-1:]]
        return [*calls, self._reading(world)]

    def register(self) -> Call:
        """Return a registration, which also shows whether the address is taken."""
        return self._call(
            "register",
            "POST",
            REGISTER,
            effect=Effect.REGISTER,
            email=self._book.email,
            password=self._new_password(),
            name=self._new_name(),
        )

    def read_by_password(self, password: str, kind: str = "read, Basic password") -> Call:
        return self._call(kind, "GET", USER, proof=self._password(password))

    def log_in(self, password: str, kind: str = "log in") -> Call:
        method = self._random.choice(("GET", "POST"))
        return self._call(
            kind, method, LOG_IN, effect=Effect.LOG_IN, proof=self._password(password)
        )

    def _of_nobody(self, world: World) -> Call:
        dice = self._random.random()
        if dice < 0.65:
            return self.register()
        if dice < 0.75:
            return self._refused_registration()
        return self._stale(world)

    def _of_a_user(self, world: World) -> Call:
        dice = self._random.random()
        if dice < 0.36:
            return self._reading(world)
        if dice < 0.54 and len(world.live) < _MOST_LIVE_TOKENS:
            return self.log_in(world.password)
        if dice < 0.75:
            return self._change(world)
        if dice < 0.79:
            return self._call(
                "delete", "DELETE", USER, effect=Effect.DELETE, proof=self._any_proof(world)
            )
        if dice < 0.90:
            is_again = dice < 0.84
            return self._register_again() if is_again else self._refused(world)
        return self._stale(world)

    def _register_again(self) -> Call:
        return replace(self.register(), kind="register again")

    def _reading(self, world: World) -> Call:
        if world.live and self._random.random() < 0.75:
            return self.read_by_token(self._random.choice(sorted(world.live)))
        return self.read_by_password(world.password or self._new_password())

    def read_by_token(self, token: str, kind: str = "") -> Call:
        proof = ByToken(token, self._random.randrange(len(_FORMS)))
        return self._call(kind or f"read, {_FORMS[proof.form]}", "GET", USER, proof=proof)

    def _change(self, world: World) -> Call:
        proof = self._any_proof(world)
        how = "token" if isinstance(proof, ByToken) else "password"
        dice = self._random.random()
        if dice < 0.55:
            return self._changing("change name", proof, name=self._new_name())
        name = self._new_name() if dice > 0.9 else None
        return self._changing(
            f"change password by {how}", proof, name=name, password=self._new_password()
        )

    def _changing(
        self,
        kind: str,
        proof: ByPassword | ByToken,
        name: str | None = None,
        password: str | None = None,
    ) -> Call:
        return self._call(
            kind, "PATCH", USER, effect=Effect.CHANGE, proof=proof, name=name, password=password
        )

    def _stale(self, world: World) -> Call:
        """Return the use of something that was good once, or never was."""
        dice = self._random.random()
        if dice < 0.4 and self._book.dead_tokens:
            old = self._random.choice(list(self._book.dead_tokens))
            return self.read_by_token(old, "read, old token")
        if dice < 0.6 and self._book.old_passwords:
            old = self._random.choice(list(self._book.old_passwords))
            return self.log_in(old, kind="log in, old password")
        if dice < 0.7:
            return self.read_by_token(_FOREIGN_TOKEN, "read, forged token")
        if dice < 0.8 and world.live:
            token = ByToken(min(world.live), self._random.randrange(len(_FORMS)))
            return self._call("log in, token", "GET", LOG_IN, effect=Effect.LOG_IN, proof=token)
        if dice < 0.9:
            return self.read_by_password(self._new_password(), kind="read, wrong password")
        return self.log_in(self._new_password(), kind="log in, wrong password")

    def _refused(self, world: World) -> Call:
        body, status = self._random.choice((*_MALFORMED, *_REFUSED))
        call = self._changing(f"change, {status}", self._any_proof(world))
        return replace(call, refusal=status, raw_body=body)

    def _refused_registration(self) -> Call:
        body, status = self._random.choice((*_MALFORMED, *_REFUSED))
        return replace(self.register(), kind=f"register, {status}", refusal=status, raw_body=body)

    def _any_proof(self, world: World) -> ByPassword | ByToken:
        if world.live and self._random.random() < 0.65:
            token = self._random.choice(sorted(world.live))
            return ByToken(token, self._random.randrange(len(_FORMS)))
        return self._password(world.password)

    def _password(self, password: str) -> ByPassword:
        email = self._book.email
        return ByPassword(email.upper() if self._random.random() < 0.2 else email, password)

    def _new_password(self) -> str:
        return f"pässword:{next(self._numbers)} {self._random.getrandbits(32):x}"

    def _new_name(self) -> str:
        return f"Susan {next(self._numbers)}"

    def _call(
        self,
        kind: str,
        method: str,
        path: str,
        *,
        effect: Effect = Effect.NONE,
        proof: ByPassword | ByToken | None = None,
        email: str = "",
        name: str | None = None,
        password: str | None = None,
    ) -> Call:
        return Call(next(self._numbers), kind, method, path, effect, proof, email, name, password)

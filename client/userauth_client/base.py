"""What both clients share: all but the sending."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Generic, Self, TypedDict, TypeVar

import httpx

from userauth_client import arguments
from userauth_client.answers import Token
from userauth_client.calls import Call, Presents, Result
from userauth_client.errors import InvalidArgumentError, TimedOutError, UnreachableError
from userauth_client.replies import Gathering, Reply
from userauth_client.sessions import Held, Session
from userauth_client.version import VERSION

TIMEOUT_SECONDS = 15.0
USER_AGENT = f"userauth-client/{VERSION}"
MAX_ANSWER_BYTES = 1024 * 1024
_CONNECT_SECONDS = 5.0

RenewType = TypeVar("RenewType")


class HttpOptions(TypedDict):
    """How httpx is set up."""

    timeout: httpx.Timeout
    headers: dict[str, str]
    cookies: CookieJar
    follow_redirects: bool
    trust_env: bool


class BaseClient(Generic[RenewType]):
    """Knows the server, the credentials, and what becomes of a call."""

    _http: httpx.Client | httpx.AsyncClient
    _session: Session[RenewType]

    def __init__(
        self, base_url: str, *, token: Token | str | None, renew: RenewType | None, most_bytes: int
    ) -> None:
        if most_bytes <= 0:
            raise InvalidArgumentError("max_answer_bytes must be above 0.")
        self._base_url = arguments.base_url(base_url)
        self._most_bytes = most_bytes
        self._is_owner = True
        authorization = None if token is None else arguments.bearer(token)
        self._session = self._open_session(authorization, renew)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._base_url!r})"

    @property
    def base_url(self) -> str:
        """Return the address of the server."""
        return self._base_url

    def with_token(self, token: Token | str, *, renew: RenewType | None = None) -> Self:
        """Return a client on the same connections that presents a token.

        Where the token is refused, ``renew`` is called for another one.
        """
        return self._with(self._open_session(arguments.bearer(token), renew))

    def with_password(self, email: str, password: str) -> Self:
        """Return a client on the same connections that presents e-mail and password."""
        authorization = arguments.basic(email, password)
        return self._with(self._open_session(authorization, None))

    def with_service(self, client_id: str, secret: str) -> Self:
        """Return a client on the same connections that presents a service's id and secret."""
        return self._with(self._open_session(arguments.basic(client_id, secret), None))

    def _open_session(
        self, authorization: str | None, renew: RenewType | None
    ) -> Session[RenewType]:
        raise NotImplementedError

    def _with(self, session: Session[RenewType]) -> Self:
        client = copy.copy(self)
        client._session = session  # noqa: SLF001 - it is one of these
        client._is_owner = False  # noqa: SLF001
        return client

    def _request(self, call: Call[object], held: Held) -> httpx.Request:
        # A call that presents nobody has none of its own.
        is_of_client = call.presents is Presents.CLIENT
        authorization = held.authorization if is_of_client else call.authorization
        headers = {} if authorization is None else {"Authorization": authorization}
        if call.content_type is not None:
            headers["Content-Type"] = call.content_type
        return self._http.build_request(
            call.method, self._base_url + call.path, headers=headers, content=call.content
        )

    def _gathering(self, response: httpx.Response) -> Gathering:
        return Gathering(response, self._most_bytes)

    def _result(self, call: Call[Result], reply: Reply) -> Result:
        """Return what an answer says; raises what it refuses by."""
        if reply.status != call.status:
            raise reply.error()
        result = call.read(reply)
        if call.ends_token:
            self._session.end()
        return result

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Raise errors of httpx as ours.

        What the network says comes along. What a library says of bytes that are no HTTP does not:
        it quotes them, and they may be ours, sent back.
        """
        try:
            yield
        except httpx.TimeoutException as error:
            raise TimedOutError(f"{self._base_url} did not answer in time.") from error
        except httpx.NetworkError as error:
            raise UnreachableError(f"{self._base_url} cannot be reached: {error}") from error
        except httpx.TransportError as error:
            name = type(error).__name__
            raise UnreachableError(f"{self._base_url} gave no whole answer: {name}") from None


def http_options(timeout_seconds: float, user_agent: str) -> HttpOptions:
    """Return what httpx is told.

    It keeps no cookie, which would be shared by all whom a client speaks for, and takes
    nothing from the environment: neither a proxy, which would read the passwords of plain HTTP, nor
    .netrc, whose password would be sent where none was asked for.
    """
    seconds = arguments.seconds(timeout_seconds)
    return {
        "timeout": httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS)),
        "headers": {
            "User-Agent": arguments.user_agent(user_agent),
            "Accept": "application/json, application/problem+json",
            "Accept-Encoding": "identity",
        },
        "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        "follow_redirects": False,
        "trust_env": False,
    }

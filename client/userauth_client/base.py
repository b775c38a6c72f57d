"""The part that both clients share: everything except sending."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Generic, Self, TypedDict, TypeVar

import httpx

from userauth_client import arguments
from userauth_client.calls import AuthMode, Call, Result
from userauth_client.credentials import Credential, CredentialProvider
from userauth_client.errors import InvalidArgumentError, TimedOutError, UnreachableError
from userauth_client.models import Token
from userauth_client.responses import BodyBuffer, Response
from userauth_client.version import VERSION

TIMEOUT_SECONDS = 15.0
USER_AGENT = f"userauth-client/{VERSION}"
MAX_RESPONSE_BYTES = 1024 * 1024
_CONNECT_SECONDS = 5.0

RenewType = TypeVar("RenewType")


class HttpOptions(TypedDict):
    """The options of both httpx clients."""

    timeout: httpx.Timeout
    headers: dict[str, str]
    cookies: CookieJar
    follow_redirects: bool
    trust_env: bool


class BaseClient(Generic[RenewType]):
    """Builds requests and converts responses to results or exceptions."""

    _http: httpx.Client | httpx.AsyncClient
    _credentials: CredentialProvider[RenewType]

    def __init__(
        self, base_url: str, *, token: Token | str | None, renew: RenewType | None, max_bytes: int
    ) -> None:
        if max_bytes <= 0:
            raise InvalidArgumentError("max_response_bytes must be greater than 0.")
        self._base_url = arguments.base_url(base_url)
        self._max_bytes = max_bytes
        self._owns_connections = True
        authorization = None if token is None else arguments.bearer(token)
        self._credentials = self._credential_provider(authorization, renew)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._base_url!r})"

    @property
    def base_url(self) -> str:
        """Return the URL of the server."""
        return self._base_url

    def with_token(self, token: Token | str, *, renew: RenewType | None = None) -> Self:
        """Return a client that sends a token, on the same connections.

        If the server rejects the token, ``renew`` is called for a new one.
        """
        return self._with(self._credential_provider(arguments.bearer(token), renew))

    def with_password(self, email: str, password: str) -> Self:
        """Return a client that sends an email address and a password, on the same connections."""
        return self._with(self._credential_provider(arguments.basic(email, password), None))

    def with_service(self, client_id: str, secret: str) -> Self:
        """Return a client with the id and secret of a registered one, on the same connections."""
        return self._with(self._credential_provider(arguments.basic(client_id, secret), None))

    def _credential_provider(
        self, authorization: str | None, renew: RenewType | None
    ) -> CredentialProvider[RenewType]:
        raise NotImplementedError

    def _with(self, credentials: CredentialProvider[RenewType]) -> Self:
        client = copy.copy(self)
        client._credentials = credentials  # noqa: SLF001 - a copy of this object
        client._owns_connections = False  # noqa: SLF001
        return client

    def _request(self, call: Call[object], credential: Credential) -> httpx.Request:
        # An anonymous call has no authorization of its own.
        uses_client = call.auth_mode is AuthMode.CLIENT
        authorization = credential.authorization if uses_client else call.authorization
        headers = {} if authorization is None else {"Authorization": authorization}
        if call.content_type is not None:
            headers["Content-Type"] = call.content_type
        if call.language is not None:
            headers["Accept-Language"] = call.language
        return self._http.build_request(
            call.method, self._base_url + call.path, headers=headers, content=call.content
        )

    def _body_buffer(self, response: httpx.Response) -> BodyBuffer:
        return BodyBuffer(response, self._max_bytes)

    def _result(self, call: Call[Result], response: Response) -> Result:
        """Return the result of a call; raises the error of an unsuccessful response."""
        if response.status not in call.statuses:
            raise response.error()
        result = call.parse(response)
        if call.revokes_token:
            self._credentials.log_out()
        return result

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Raise errors of httpx as errors of this package.

        Network errors are quoted. Protocol errors are not: they quote bytes that the server sent,
        which may be the caller's own secrets, echoed.
        """
        try:
            yield
        except httpx.TimeoutException as error:
            raise TimedOutError(f"{self._base_url} did not respond in time.") from error
        except httpx.NetworkError as error:
            raise UnreachableError(f"{self._base_url} cannot be reached: {error}") from error
        except httpx.TransportError as error:
            name = type(error).__name__
            raise UnreachableError(f"{self._base_url} sent no complete response: {name}") from None


def http_options(timeout_seconds: float, user_agent: str) -> HttpOptions:
    """Return the options of httpx.

    Cookies are not stored, since clients with different credentials share one jar. The environment
    is ignored: a proxy could read passwords in plain HTTP, and httpx would add the password in
    .netrc to requests without credentials.
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

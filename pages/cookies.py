"""The cookies of the pages.

With the prefix ``__Host-``, a browser accepts a cookie only from this host and over HTTPS: neither
a page of a subdomain nor one over plain HTTP can set it. Browsers reject the prefix without HTTPS,
so it is omitted in development.
"""

import secrets
from dataclasses import dataclass

from transport.session_cookie import session_cookie_name

_FORM_BYTES = 16
# Longer than any session; browsers keep no cookie for longer than 400 days.
_LANGUAGE_SECONDS = 365 * 24 * 60 * 60

HeaderField = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Cookies:
    """The names of the cookies, and the fields that set and delete them."""

    is_secure: bool

    @property
    def session(self) -> str:
        """Return the name of the cookie that contains a session."""
        return session_cookie_name(is_secure=self.is_secure)

    @property
    def form(self) -> str:
        """Return the name of the cookie that binds forms to a browser without a session."""
        return f"{self._prefix}userauth-form"

    @property
    def language(self) -> str:
        """Return the name of the cookie with the language that a person chose."""
        return f"{self._prefix}userauth-language"

    def set_session(self, value: str, max_age: int | None) -> HeaderField:
        """Return the field that sets a session; without a maximum age, until the browser exits."""
        return self._set(self.session, value, max_age)

    def set_form(self, value: str) -> HeaderField:
        """Return the field that sets the cookie of forms."""
        return self._set(self.form, value, None)

    def set_language(self, value: str) -> HeaderField:
        """Return the field that sets the language."""
        return self._set(self.language, value, _LANGUAGE_SECONDS)

    def delete_session(self) -> HeaderField:
        """Return the field that deletes the session."""
        return self._set(self.session, "", 0)

    @property
    def _prefix(self) -> str:
        return "__Host-" if self.is_secure else ""

    def _set(self, name: str, value: str, max_age: int | None) -> HeaderField:
        age = "" if max_age is None else f"; Max-Age={max_age}"
        secure = "; Secure" if self.is_secure else ""
        return ("Set-Cookie", f"{name}={value}; Path=/{age}{secure}; HttpOnly; SameSite=Lax")


def new_form_cookie() -> str:
    """Return a random value for the cookie of forms."""
    return secrets.token_urlsafe(_FORM_BYTES)

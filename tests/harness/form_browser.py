"""A browser without a display or script: it keeps cookies, and sends the forms of pages."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.httputil import HTTPHeaders

FORM = "application/x-www-form-urlencoded"
# What a browser sends when a person opens an address.
HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
POLICY = {
    "default-src 'none'",
    "style-src 'self'",
    "script-src 'self'",
    "img-src 'self' data:",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
}


@dataclass
class Element:
    """A start tag with its attributes."""

    tag: str
    attributes: dict[str, str]


@dataclass
class Form:
    """A form of a page, with the values that it has before a person types."""

    action: str
    values: dict[str, str] = field(default_factory=dict)


class Page(HTMLParser):
    """A response, parsed if it is HTML."""

    def __init__(self, status: int, headers: HTTPHeaders, content: bytes) -> None:
        super().__init__()
        self.status, self.headers, self.content = status, headers, content
        self.elements: list[Element] = []
        self.forms: list[Form] = []
        if headers.get("Content-Type", "").startswith("text/html"):
            self.feed(self.html)

    @property
    def html(self) -> str:
        return self.content.decode()

    @property
    def text(self) -> str:
        """Return what a person reads, in one line."""
        body = re.sub(r"<head>.*?</head>", "", self.html, flags=re.DOTALL)
        return " ".join(re.sub(r"<[^>]*>", " ", body).split())

    @property
    def title(self) -> str:
        match = re.search(r"<title>(.*?)</title>", self.html, re.DOTALL)
        return match[1] if match else ""

    @property
    def target(self) -> str:
        """Return where the browser goes on to: by a redirect, or by a page that goes on at once."""
        refresh = self.headers.get("Refresh", "")
        return self.headers.get("Location") or refresh.partition("url=")[2]

    @property
    def focused(self) -> list[str]:
        """Return the names of the fields that get the focus."""
        return [each.attributes["name"] for each in self.elements if "autofocus" in each.attributes]

    def form(self, action: str) -> Form:
        """Return the form that is sent to a path."""
        return next(form for form in self.forms if form.action == action)

    def find(self, tag: str, **attributes: str) -> Element:
        """Return the first element with these attributes."""
        return next(
            each
            for each in self.elements
            if each.tag == tag and attributes.items() <= each.attributes.items()
        )

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.elements.append(Element(tag, found))
        if tag == "form":
            self.forms.append(Form(found.get("action", "")))
        elif tag == "input" and found.get("type") not in {"checkbox", "submit"}:
            self.forms[-1].values[found["name"]] = found.get("value", "")


class FormBrowser:
    """A browser of one person: requests, cookies, forms.

    In front of a proxy, only what is below /auth/ is a page; ``certificate`` is that of the proxy.
    """

    def __init__(
        self, url: str, *, certificate: Path | None = None, is_behind_proxy: bool = False
    ) -> None:
        self.url = url
        self.cookies: dict[str, str] = {}
        # The whole field of each cookie that was set last.
        self.set_cookies: dict[str, str] = {}
        self.headers = dict(HTML)
        # Where a form comes from, as browsers report it. Old ones send Origin alone.
        self.sender = {"Origin": url} if is_behind_proxy else {"Sec-Fetch-Site": "same-origin"}
        self._certificate = None if certificate is None else str(certificate)
        self._is_behind_proxy = is_behind_proxy
        self._client = AsyncHTTPClient(force_instance=True)

    def close(self) -> None:
        self._client.close()

    async def get(self, path: str, **headers: str) -> Page:
        return await self.request("GET", path, headers=_named(headers))

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Page:
        """Send a request with the cookies; check what every page guarantees."""
        fields = {**self.headers, **(headers or {})}
        if self.cookies and "Cookie" not in fields:
            fields["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        response = await self._client.fetch(
            HTTPRequest(
                self.url + path,
                method=method,
                headers=fields,
                body=body,
                allow_nonstandard_methods=True,
                follow_redirects=False,
                decompress_response=False,
                request_timeout=60,
                allow_ipv6=False,
                ca_certs=self._certificate,
            ),
            raise_error=False,
        )
        self._keep(response.headers.get_list("Set-Cookie"))
        page = Page(response.code, response.headers, response.body)
        if path.startswith("/auth/") or not self._is_behind_proxy:
            is_secure = self.url.startswith("https:")
            _check(page, is_secure=is_secure or fields.get("X-Forwarded-Proto") == "https")
        return page

    async def post(self, path: str, values: Mapping[str, str], **headers: str) -> Page:
        """Send values as a form, without the fields that a page adds."""
        fields = {"Content-Type": FORM, **_named(headers)}
        return await self.request("POST", path, body=urlencode(values).encode(), headers=fields)

    async def submit(self, page: Page, action: str, **values: str) -> Page:
        """Send a form of a page as a person fills it in."""
        return await self.post(action, page.form(action).values | values, **self.sender)

    async def send(self, path: str, **values: str) -> Page:
        """Open a page and send its form."""
        return await self.submit(await self.get(path), path.partition("?")[0], **values)

    async def sign_in(self, email: str, password: str, **values: str) -> Page:
        """Open the page and send its form."""
        return await self.send("/auth/sign-in", email=email, password=password, **values)

    def _keep(self, fields: list[str]) -> None:
        for text in fields:
            pair, *attributes = text.split("; ")
            name, _, value = pair.partition("=")
            self.set_cookies[name] = text
            if "Max-Age=0" in attributes:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-").title(): value for name, value in headers.items()}


def _check(page: Page, *, is_secure: bool) -> None:
    headers = page.headers
    assert not [name for name in headers if name.lower().startswith("access-control-")]
    assert "WWW-Authenticate" not in headers
    assert page.status != 401
    assert headers["X-Content-Type-Options"] == "nosniff"
    if "Etag" in headers or page.status == 204:
        return
    assert headers["Cache-Control"] == "no-store"
    assert set(headers["Content-Security-Policy"].split("; ")) == POLICY
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert ("Strict-Transport-Security" in headers) == is_secure
    if page.status in {429, 503}:
        assert headers["Retry-After"].isdecimal()
    if page.content and "Content-Disposition" not in headers:
        assert headers["Content-Type"] == "text/html; charset=UTF-8"
        assert not [each for each in page.elements if "style" in each.attributes]
        assert not re.search(r"<style|\son[a-z]+=|<script(?! src)", page.html)

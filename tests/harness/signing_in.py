"""A browser without script in front of a proxy: it keeps cookies, and sends the form of a page."""

import re
from html import unescape
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from tornado.httpclient import HTTPResponse

from tests.harness.api import PASSWORD
from tests.harness.protected_site import Site

_FORM = r'<form method="post" action="{}"[^>]*>(.*?)</form>'
_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


class Browser:
    """A browser with its cookies."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.cookies: dict[str, str] = {}

    async def get(self, path: str) -> HTTPResponse:
        """Open a path; follow no redirect."""
        return await self.request(path)

    async def submit(self, path: str, **fields: str) -> HTTPResponse:
        """Open a page and send its form with fields in it."""
        opened = await self.get(path)
        assert opened.code == 200, opened
        action = path.partition("?")[0]
        # Each page has a form for the language too.
        [form] = re.findall(_FORM.format(action), opened.body.decode(), re.DOTALL)
        hidden = {name: unescape(value) for name, value in _HIDDEN.findall(form)}
        return await self.request(action, urlencode(hidden | fields).encode())

    async def sign_in(self, path: str = "/auth/sign-in") -> str:
        """Sign in at a page; return where it goes on to."""
        answer = await self.submit(path, email="susan@example.com", password=PASSWORD)
        assert answer.code in {200, 303}, answer.body
        return answer.headers.get("Location") or answer.headers["Refresh"].partition("url=")[2]

    async def request(self, path: str, body: bytes | None = None) -> HTTPResponse:
        """Send a request as a browser does, and keep the cookies of the response."""
        fields = dict(HTML)
        if self.cookies:
            fields["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if body is not None:
            fields |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.site.url}
        answer = await self.site.ask(None, path, body=body, more=fields)
        for line in answer.headers.get_list("Set-Cookie"):
            for name, cookie in SimpleCookie(line).items():
                self.cookies[name] = cookie.value
        return answer

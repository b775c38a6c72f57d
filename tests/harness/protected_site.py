"""An application behind a proxy with a sample configuration, which asks userauth."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path

from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from tests.harness.api import Api
from tests.harness.certificates import make_certificate
from tests.harness.form_browser import FormBrowser
from tests.harness.processes import running_server
from tests.harness.proxy import Proxy
from tests.harness.sample_proxies import running_proxy
from tests.harness.waiting import WORK_SECONDS

TRUSTED = {"USERAUTH_SERVER__TRUSTED_PROXIES": "127.0.0.1/32,::1/128"}
UseSite = Callable[["Site", Api], Awaitable[None]]


class Upstream(RequestHandler):
    """Returns the header fields of the request, with the status that its query names."""

    def initialize(self, seen: list[dict[str, str]]) -> None:
        self.seen = seen

    def get(self) -> None:
        self.seen.append(dict(self.request.headers))
        self.set_status(int(self.get_query_argument("status", "200")))
        if self.get_status() != HTTPStatus.NO_CONTENT:
            self.write(json.dumps(self.seen[-1]))

    head = post = put = patch = delete = options = get


class Site:
    """A protected upstream, and a client in front of the proxy."""

    database: Proxy

    def __init__(self, url: str, certificate: Path | None = None) -> None:
        self.url = url
        self.seen: list[dict[str, str]] = []
        self._certificate = certificate
        self._client = AsyncHTTPClient(force_instance=True)

    def browser(self) -> FormBrowser:
        """Return a browser in front of the proxy, without cookies."""
        return FormBrowser(self.url, certificate=self._certificate, is_behind_proxy=True)

    async def ask(
        self,
        authorization: str | None,
        path: str = "/",
        *,
        body: bytes | None = None,
        more: Mapping[str, str] | None = None,
        source: str | None = None,
        method: str | None = None,
    ) -> HTTPResponse:
        """Send a request from an address of this machine; follow no redirect."""
        headers = dict(more or {})
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        if authorization is not None:
            headers["Authorization"] = authorization
        return await self._client.fetch(
            self.url + path,
            method=method or ("GET" if body is None else "POST"),
            headers=headers,
            body=body,
            network_interface=source,
            allow_ipv6=False,
            ca_certs=self._certificate and str(self._certificate),
            raise_error=False,
            follow_redirects=False,
            allow_nonstandard_methods=True,
        )


def behind(
    sample: str,
    dsn: str,
    folder: Path,
    use: UseSite,
    changed: Mapping[str, str] | None = None,
    /,
    **settings: str,
) -> None:
    """Run a database proxy, userauth, an upstream and a proxy in front of them."""

    async def run() -> None:
        seen: list[dict[str, str]] = []
        sockets = bind_sockets(0, "127.0.0.1")
        upstream = HTTPServer(Application([(r"/.*", Upstream, {"seen": seen})]))
        upstream.add_sockets(sockets)
        database = Proxy(dsn)
        await database.open()
        variables = {
            "DATABASE_URL": database.url,
            "USERAUTH_DATABASE__ACQUIRE_TIMEOUT_SECONDS": "1",
            "USERAUTH_DATABASE__QUERY_TIMEOUT_SECONDS": "1",
            **settings,
        }
        starting = running_server(variables, folder / "log")
        server = await asyncio.to_thread(starting.__enter__)
        try:
            api = Api(server.url)
            service = int(sockets[0].getsockname()[1])
            files = make_certificate(folder / "tls")
            with running_proxy(sample, folder, server.url, service, files, changed=changed) as url:
                site = Site(url, files[0])
                site.seen, site.database = seen, database
                await use(site, api)
            api.close()
        finally:
            await asyncio.to_thread(starting.__exit__, None, None, None)
            await database.close()
            upstream.stop()

    async def bounded() -> None:
        async with asyncio.timeout(WORK_SECONDS):
            await run()

    asyncio.run(bounded())

"""The sample configurations for nginx, Caddy and Traefik, with the real proxies."""

import asyncio
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.certificates import make_certificate
from tests.harness.configuration import ROOT
from tests.harness.pages import blocks, page, section
from tests.harness.protected_site import TRUSTED, Site, behind
from tests.harness.sample_proxies import caddy_command, nginx_command

pytestmark = pytest.mark.needs("openssl")
FIELDS = ("X-Auth-User-Id", "X-Auth-Email", "X-Auth-Email-Verified", "X-Auth-Name")
FORGED = dict(zip(FIELDS, ("1", "admin@example.com", "true", "Admin"), strict=True))
# An address of this machine from which no proxy connects.
CLIENT = "127.0.0.5"
# Forged values: another client, the proxy, garbage.
CLAIMS = ("203.0.113.9", "203.0.113.9, 127.0.0.1", "127.0.0.1", "203.0.113.9, unknown", ",")
HTTPS_ONLY = {"USERAUTH_SERVER__REQUIRE_HTTPS": "true", **TRUSTED}
PROXY_PAGE = page("docs/behind-a-proxy.md")


def test_the_proxies_accept_a_certificate_of_ones_own(sample: str, tmp_path: Path) -> None:
    name = sample.partition(".")[0].removesuffix("file")
    heading = f"## {name.lower() if name == 'nginx' else name}"
    [(_, lines), _] = blocks(section(PROXY_PAGE, heading))
    certificate, key = make_certificate(tmp_path / "tls")
    for shown in re.findall(r"/etc/\S+?\.pem", lines):
        lines = lines.replace(shown, str(key if "privkey" in shown else certificate))
    text = (ROOT / "deploy" / sample).read_text(encoding="utf-8")
    if sample == "nginx.conf":
        text = re.sub(
            r"^ +ssl_certificate .*\n +ssl_certificate_key .*\n", lines, text, flags=re.MULTILINE
        )
        assert str(certificate) in text
        command = [*nginx_command(tmp_path, text), "-t"]
    else:
        text = text.replace("auth.example.com {\n", f"auth.example.com {{\n{lines}")
        [program, _, *options] = caddy_command(tmp_path, text)
        command = [program, "validate", *options]
    tested = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)},
    )
    assert tested.returncode == 0, tested.stderr


def test_a_request_without_a_valid_token_is_401_and_does_not_reach_the_upstream(
    sample: str, dsn: str, tmp_path: Path
) -> None:
    async def use(site: Site, api: Api) -> None:
        await api.register()
        for authorization in (None, bearer("a.b.c"), basic("susan@example.com", "wrong password")):
            answer = await site.ask(authorization, more=FORGED)
            assert answer.code == 401
            assert answer.headers.get_list("WWW-Authenticate")
        assert site.seen == []

    behind(sample, dsn, tmp_path, use)


def test_a_preflight_reaches_the_upstream_as_the_page_describes(
    sample: str, dsn: str, tmp_path: Path
) -> None:
    shown = section(PROXY_PAGE, "## Preflight requests to the application")
    found = [text for _, text in blocks(shown)]
    opening = "    location / {\n" if sample == "nginx.conf" else "\troute {\n"
    inside, above = found[:2] if sample == "nginx.conf" else ("", found[2])

    async def use(site: Site, _api: Api) -> None:
        asked = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "PUT"}
        forged = FORGED | {"X-Forwarded-Host": "evil.example", "X_Auth_Email": "a@example.com"}
        forged |= {"Cookie": "__Host-userauth=secret"}
        answer = await site.ask(bearer("a.b.c"), more=asked | forged, method="OPTIONS")
        assert answer.code == 200
        [seen] = site.seen
        assert seen.items() >= asked.items()
        assert not seen.keys() & {*FIELDS, "X_auth_email", "Authorization", "Cookie"}
        assert "evil.example" not in seen.values()
        # A call of the API is answered by userauth, and other methods are checked.
        await site.ask(None, "/api/user", method="OPTIONS")
        assert (await site.ask(None)).code == 401
        assert len(site.seen) == 1

    changed = {opening: above + opening + inside}
    behind(sample, dsn, tmp_path, use, changed)


def test_a_browser_gets_no_password_dialog(sample: str, dsn: str, tmp_path: Path) -> None:
    async def use(site: Site, _api: Api) -> None:
        for more in ({"Sec-Fetch-Mode": "navigate"}, {"Accept": "text/html,*/*;q=0.8"}):
            answer = await site.ask(None, more=more)
            # nginx redirects a browser, Caddy only if userauth trusts it.
            assert answer.code == (303 if "Accept" in more and sample == "nginx.conf" else 401)
            [challenge] = answer.headers.get_list("WWW-Authenticate")
            assert challenge.startswith("Bearer ")

    behind(sample, dsn, tmp_path, use)


def test_a_browser_that_sends_only_origin_logs_in_with_basic_from_the_same_origin(
    sample: str, dsn: str, tmp_path: Path
) -> None:
    async def use(site: Site, api: Api) -> None:
        await api.register()
        for origin, status in ((site.url, 200), ("https://www.example.com", 403)):
            answer = await site.ask(
                basic("susan@example.com", PASSWORD), "/api/user/login", more={"Origin": origin}
            )
            assert answer.code == status

    behind(sample, dsn, tmp_path, use)


def test_the_upstream_gets_the_user_and_no_forged_field(
    sample: str, dsn: str, tmp_path: Path
) -> None:
    async def use(site: Site, api: Api) -> None:
        user = (await api.register(name="Zoë %")).json
        token = await api.token()
        for authorization in (bearer(token), basic(token), basic("susan@example.com", PASSWORD)):
            answer = await site.ask(authorization, more=FORGED)
            assert answer.code == 200
            seen = json.loads(answer.body)
            assert [seen[field] for field in FIELDS] == [
                user["id"],
                "susan@example.com",
                "false",
                "Zo%C3%AB%20%25",
            ]
            assert "Authorization" not in seen
        await api.request(
            "PATCH", "/api/user", authorization=bearer(token), json_body={"name": None}
        )
        seen = json.loads((await site.ask(bearer(token), more=FORGED)).body)
        assert not seen.get("X-Auth-Name")

    behind(sample, dsn, tmp_path, use)


def test_the_page_that_a_message_links_to_needs_no_credentials(
    sample: str, dsn: str, tmp_path: Path
) -> None:
    async def use(site: Site, _api: Api) -> None:
        for name in ("verify", "reset", "undo"):
            answer = await site.ask(None, f"/auth/{name}?request=0b8f")
            assert (answer.code, b"<html" in answer.body) == (200, True)
        assert site.seen == []

    behind(sample, dsn, tmp_path, use)


def test_no_spelling_of_a_forged_field_passes_or_removes_the_real_one(
    any_sample: str, dsn: str, tmp_path: Path
) -> None:
    async def use(site: Site, api: Api) -> None:
        user = (await api.register(name="Susan")).json
        token = await api.token()
        spellings = {
            f"{first}{second}": "forged"
            for field in FIELDS
            for first in ("X-Auth-", "x_auth_", "X-Auth_", "X_AUTH-")
            for second in (field[7:], field[7:].replace("-", "_"))
        }
        for connection in ("close", f"close, {', '.join(FIELDS)}", "X-Auth-User-Id"):
            answer = await site.ask(bearer(token), more=spellings | {"Connection": connection})
            assert answer.code == 200
            # As a service that treats _ as - sees them.
            seen = [
                (name.replace("_", "-").lower(), value)
                for name, value in json.loads(answer.body).items()
                if "auth" in name.lower()
            ]
            expected = (user["id"], "susan@example.com", "false", "Susan")
            assert sorted(seen) == sorted(zip(map(str.lower, FIELDS), expected, strict=True))

    behind(any_sample, dsn, tmp_path, use)


FORGED_FORWARDING = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "evil",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": "for=203.0.113.9;proto=evil",
    "X-Real-IP": "203.0.113.9",
}


def test_the_upstream_gets_the_host_and_forwarding_fields_of_the_proxy_and_an_upgrade(
    any_sample: str, dsn: str, tmp_path: Path
) -> None:
    async def use(site: Site, api: Api) -> None:
        token = await api.registered_token()
        underscored = {name.replace("-", "_"): value for name, value in FORGED_FORWARDING.items()}
        for forged in (FORGED_FORWARDING, {**FORGED_FORWARDING, **underscored}):
            upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
            answer = await site.ask(bearer(token), more={**forged, **upgrade}, source=CLIENT)
            seen = json.loads(answer.body)
            assert seen["Host"].partition(":")[0] == "localhost"
            assert seen["X-Forwarded-Host"].partition(":")[0] == "localhost"
            assert seen["X-Forwarded-For"] == seen["X-Real-Ip"] == CLIENT
            assert seen["X-Forwarded-Proto"] == "https"
            assert (seen["Upgrade"], seen["Connection"].lower()) == ("websocket", "upgrade")
            assert "evil" not in str(seen)
            assert "203.0.113.9" not in str(seen)
        assert "Upgrade" not in json.loads((await site.ask(bearer(token))).body)

    behind(any_sample, dsn, tmp_path, use)


def test_a_throttled_user_gets_429_with_the_wait(any_sample: str, dsn: str, tmp_path: Path) -> None:
    async def use(site: Site, api: Api) -> None:
        await api.register()
        wrong = basic("susan@example.com", "wrong password")
        answers = [await site.ask(wrong) for _ in range(13)]
        assert [answer.code for answer in answers[:10]] == [401] * 10
        assert answers[-1].code == 429
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60

    behind(any_sample, dsn, tmp_path, use)


def test_one_connection_serves_calls_of_every_kind(sample: str, dsn: str, tmp_path: Path) -> None:
    async def use(site: Site, api: Api) -> None:
        await api.register()
        for _ in range(100):
            assert (await site.ask(None, "/api/user")).code == 401
            assert (await site.ask(None, "/api/user/register", body=b"{}")).code == 422

    behind(sample, dsn, tmp_path, use)


def test_a_revoked_token_is_rejected_at_the_next_request(
    sample: str, dsn: str, tmp_path: Path
) -> None:
    async def use(site: Site, api: Api) -> None:
        await api.register()
        for _ in range(10):
            token = await api.token()
            assert (await site.ask(bearer(token))).code == 200
            answer = await api.request("POST", "/api/user/logout", authorization=bearer(token))
            assert answer.status == 204
            assert (await site.ask(bearer(token))).code == 401

    behind(sample, dsn, tmp_path, use)


def test_a_query_of_the_service_is_allowed(sample: str, dsn: str, tmp_path: Path) -> None:
    async def use(site: Site, api: Api) -> None:
        token = await api.registered_token()
        for path in ("/?page=2&sort=name", "/x?keep_current=yes", "/?%ff"):
            assert (await site.ask(bearer(token), path)).code == 200
            assert (await site.ask(None, path)).code == 401

    behind(sample, dsn, tmp_path, use)


def test_while_postgres_is_unavailable_no_request_is_admitted(
    any_sample: str, dsn: str, tmp_path: Path
) -> None:
    async def use(site: Site, api: Api) -> None:
        token = await api.registered_token()
        assert (await site.ask(bearer(token))).code == 200
        await site.database.close()
        seen = len(site.seen)
        answer = await site.ask(bearer(token))
        assert answer.code == 503
        assert answer.headers["Retry-After"]
        assert len(site.seen) == seen
        await site.database.open()
        while (await site.ask(bearer(token))).code != 200:
            await asyncio.sleep(0.05)

    behind(any_sample, dsn, tmp_path, use)


def test_a_login_passes_the_proxy_and_the_type_of_a_problem_leads_to_its_page(
    sample: str, dsn: str, tmp_path: Path
) -> None:
    async def use(site: Site, api: Api) -> None:
        await api.register()
        rejected = json.loads((await site.ask(None, "/api/user/login")).body)
        path, _, name = rejected["type"].partition("#")
        found = await site.ask(None, path)
        assert (found.code, f"\n## {name}\n" in found.body.decode()) == (200, True)
        answer = await site.ask(basic("susan@example.com", PASSWORD), "/api/user/login")
        assert (await site.ask(bearer(json.loads(answer.body)["token"]))).code == 200

    behind(sample, dsn, tmp_path, use)


def test_a_request_is_https_if_the_proxy_received_it_over_https_whatever_the_caller_claims(
    any_sample: str, dsn: str, tmp_path: Path
) -> None:
    async def use(site: Site, api: Api) -> None:
        account = json.dumps({"email": "susan@example.com", "password": PASSWORD}).encode()
        answer = await site.ask(None, "/api/user/register", body=account)
        assert answer.code == 201
        by_password = basic("susan@example.com", PASSWORD)
        for more in ({}, {"X-Forwarded-Proto": "http"}, {"x_forwarded_proto": "http"}):
            answer = await site.ask(by_password, "/api/user/login", more=more)
            assert (await site.ask(bearer(json.loads(answer.body)["token"]), more=more)).code == 200
        site.url = api.url  # bypasses the proxy
        assert (await site.ask(by_password, "/api/user/login")).code == 403

    behind(any_sample, dsn, tmp_path, use, **HTTPS_ONLY)


async def shown_address(site: Site, more: Mapping[str, str]) -> str:
    """Log in through the proxy; return the IP address in the list of tokens."""
    answer = await site.ask(
        basic("susan@example.com", PASSWORD), "/api/user/login", more=more, source=CLIENT
    )
    assert answer.code == 200
    token = json.loads(answer.body)["token"]
    answer = await site.ask(bearer(token), "/api/user/tokens", source=CLIENT)
    [address] = [row["ip"] for row in json.loads(answer.body)["tokens"] if row["current"]]
    return str(address)


def test_through_a_trusted_proxy_the_address_is_the_one_that_connected_to_the_proxy(
    any_sample: str, dsn: str, tmp_path: Path
) -> None:
    async def use(site: Site, api: Api) -> None:
        await api.register()
        assert await shown_address(site, {}) == CLIENT
        for claim in CLAIMS:
            for name in ("X-Forwarded-For", "x_forwarded_for", "Forwarded", "X-Real-IP"):
                assert await shown_address(site, {name: claim}) == CLIENT
            taken_out = {"X-Forwarded-For": claim, "Connection": "close, X-Forwarded-For"}
            assert await shown_address(site, taken_out) == CLIENT

    behind(any_sample, dsn, tmp_path, use, **TRUSTED)


def test_through_an_untrusted_proxy_the_address_is_that_of_the_proxy(
    sample: str, dsn: str, tmp_path: Path
) -> None:
    async def use(site: Site, api: Api) -> None:
        await api.register()
        for claim in CLAIMS:
            assert await shown_address(site, {"X-Forwarded-For": claim}) == "127.0.0.1"

    behind(sample, dsn, tmp_path, use)


def test_a_caller_that_bypasses_the_proxy_cannot_claim_an_address(
    sample: str, dsn: str, tmp_path: Path
) -> None:
    async def use(site: Site, api: Api) -> None:
        await api.register()
        site.url = api.url
        for claim in CLAIMS:
            assert await shown_address(site, {"X-Forwarded-For": claim}) == CLIENT

    behind(sample, dsn, tmp_path, use, **TRUSTED)

"""Services introspect and revoke tokens."""

import asyncio
from urllib.parse import quote, urlencode

import pytest

from handlers.application import Application
from services.clients import ClientSecret
from tests.harness.api import PASSWORD, Answer, Api, basic, bearer
from tests.harness.clock import Clock
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
FORM = "application/x-www-form-urlencoded"
INTROSPECT, REVOKE = "/api/token/introspect", "/api/token/revoke"
INACTIVE = {"active": False}


async def new_client(app: Application, name: str = "billing") -> ClientSecret:
    return await app.services.clients.add(name)


def credentials(client: ClientSecret) -> str:
    return basic(client.client_id, client.secret)


async def ask(api: Api, path: str, authorization: str | None, body: str) -> Answer:
    return await api.request(
        "POST",
        path,
        authorization=authorization,
        body=body.encode(),
        headers={"Content-Type": FORM},
    )


async def introspect(api: Api, client: ClientSecret, token: str) -> object:
    answer = await ask(api, INTROSPECT, credentials(client), urlencode({"token": token}))
    assert answer.status == 200
    return answer.json


@pytest.mark.gen_test
async def test_services_and_proxies_get_whether_the_address_is_verified(
    api: Api, app: Application, dsn: str
) -> None:
    client = await new_client(app)
    token = await api.registered_token()
    for is_verified in (False, True):
        if is_verified:
            run_sql(dsn, "UPDATE users SET email_verified_at = now()")
        found = await introspect(api, client, token)
        assert isinstance(found, dict)
        assert found["email_verified"] is is_verified
        answer = await api.request("GET", "/api/verify", authorization=bearer(token))
        assert answer.headers["X-Auth-Email-Verified"] == str(is_verified).lower()


@pytest.mark.gen_test
async def test_a_valid_token_is_active_and_has_its_users_properties(
    api: Api, app: Application, clock: Clock
) -> None:
    client = await new_client(app)
    user = (await api.register(name="Susan")).json
    clock.advance(0.6)
    token = await api.token()
    assert await introspect(api, client, token) == {
        "active": True,
        "sub": user["id"],
        "email": EMAIL,
        "email_verified": False,
        "name": "Susan",
        "iat": 1_800_000_000,
        "exp": 1_800_086_400,
        "jti": token.split(".")[0],
        "token_type": "Bearer",
    }


@pytest.mark.parametrize("form", ["nonsense", "forged", "expired", "logged out", "deleted", "old"])
@pytest.mark.gen_test
async def test_any_other_token_is_inactive_without_properties(
    api: Api, app: Application, clock: Clock, form: str
) -> None:
    client = await new_client(app)
    token = await api.registered_token()
    if form == "nonsense":
        token = "ä token\x00"
    elif form == "forged":
        token = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
    elif form == "expired":
        clock.advance(86400)
    elif form == "logged out":
        await api.request("POST", "/api/user/logout", authorization=bearer(token))
    elif form == "deleted":
        await api.request("DELETE", "/api/user", authorization=bearer(token))
    else:
        await api.request(
            "PATCH",
            "/api/user",
            authorization=basic(EMAIL, PASSWORD),
            json_body={"password": "another horse battery"},
        )
    assert await introspect(api, client, token) == INACTIVE


@pytest.mark.gen_test
async def test_a_service_revokes_a_token_and_gets_the_same_response_for_an_invalid_one(
    api: Api, app: Application
) -> None:
    client = await new_client(app)
    token, other = await api.registered_token(), await api.token()
    for revoked in (token, token, "nonsense", token[:-2] + "AA"):
        answer = await ask(
            api,
            REVOKE,
            credentials(client),
            urlencode({"token": revoked, "token_type_hint": "access_token"}),
        )
        assert (answer.status, answer.json) == (200, {})
    assert await introspect(api, client, token) == INACTIVE
    for presented, status in ((token, 401), (other, 200)):
        answer = await api.request("GET", "/api/user", authorization=bearer(presented))
        assert answer.status == status


@pytest.mark.parametrize("path", [INTROSPECT, REVOKE])
@pytest.mark.gen_test
async def test_a_call_without_client_credentials_is_401(
    api: Api, app: Application, path: str
) -> None:
    client = await new_client(app)
    token = await api.registered_token()
    for rejected in (
        None,
        basic(EMAIL, PASSWORD),
        bearer(token),
        basic(client.client_id, client.secret + "x"),
        basic(client.client_id, ""),
        basic("0" * 16, client.secret),
        basic("billing", client.secret),
        basic("ä" * 5000, client.secret),
    ):
        answer = await ask(api, path, rejected, urlencode({"token": token}))
        assert answer.status == 401, rejected
    answer = await api.request("GET", "/api/user", authorization=bearer(token))
    assert answer.status == 200


@pytest.mark.parametrize("path", [INTROSPECT, REVOKE])
@pytest.mark.parametrize(
    ("authorization", "problem"),
    [
        ("Bearer x", "token-invalid"),
        ("Bearer", "token-invalid"),
        ("Basic x", "credentials-invalid"),
        ("Basic eA==", "credentials-invalid"),  # x, without a colon
        (basic("x\n", "x"), "credentials-invalid"),
        (basic("ä" * 5000, "x"), "credentials-invalid"),
        (None, "credentials-missing"),
    ],
)
@pytest.mark.gen_test
async def test_without_well_formed_credentials_the_detail_asks_for_those_of_the_client(
    api: Api, path: str, authorization: str | None, problem: str
) -> None:
    answer = await ask(api, path, authorization, "token=x")
    assert (answer.status, answer.problem) == (401, problem)
    assert answer.json["detail"] == "Send Basic credentials: the client's id and its secret."


@pytest.mark.gen_test
async def test_a_client_is_not_a_user(api: Api, app: Application) -> None:
    client = await new_client(app)
    answer = await api.request("GET", "/api/user", authorization=credentials(client))
    assert (answer.status, answer.problem) == (401, "credentials-invalid")


@pytest.mark.gen_test
async def test_an_old_secret_stays_valid_for_its_time_by_the_clock_of_postgres(
    api: Api, app: Application, clock: Clock, dsn: str
) -> None:
    old = await new_client(app)
    token = await api.registered_token()
    new = await app.services.clients.rotate("billing", keep_old_seconds=600)
    assert new.client_id == old.client_id
    clock.advance(3600)
    for client in (old, new):
        assert (await ask(api, INTROSPECT, credentials(client), f"token={token}")).status == 200
    [(left,)] = run_sql(
        dsn, "SELECT extract(epoch FROM old_secret_until - clock_timestamp()) FROM clients"
    )
    assert 500 < left <= 600
    run_sql(dsn, "UPDATE clients SET old_secret_until = old_secret_until - interval '600 s'")
    statuses = [
        (await ask(api, INTROSPECT, credentials(client), f"token={token}")).status
        for client in (old, new)
    ]
    assert statuses == [401, 200]
    await app.services.clients.remove("billing")
    assert (await ask(api, INTROSPECT, credentials(new), f"token={token}")).status == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("token=", 400),
        ("tokens=x", 400),
        (f"token={'x' * 5000}", 400),
        ("token=x&token=y", 400),
        ("token=&token=y", 400),
        ("token=%ff", 400),
        ("&".join(f"a{n}=1" for n in range(200)), 400),
        ("token=" + quote("ä\x00\n"), 200),
        ("token=x&more=1&more2=", 200),
    ],
)
@pytest.mark.gen_test
async def test_a_form_is_parsed_as_in_oauth(
    api: Api, app: Application, body: str, status: int
) -> None:
    client = await new_client(app)
    assert (await ask(api, INTROSPECT, credentials(client), body)).status == status


@pytest.mark.parametrize("path", [INTROSPECT, REVOKE])
@pytest.mark.gen_test
async def test_an_error_has_its_code_of_oauth(api: Api, app: Application, path: str) -> None:
    client = credentials(await new_client(app))
    for target, authorization, body, status, error in (
        (path, client, "", 400, "invalid_request"),
        (path, client, "token=x&token=y", 400, "invalid_request"),
        (path, client, "x" * 70_000, 413, "invalid_request"),
        (f"{path}?token=x", client, "token=x", 422, "invalid_request"),
        (path, None, "token=x", 401, "invalid_client"),
        (path, basic("client", "secret"), "token=x", 401, "invalid_client"),
        (path, bearer("a.b.c"), "token=x", 401, "invalid_client"),
    ):
        answer = await ask(api, target, authorization, body)
        assert (answer.status, answer.json["error"]) == (status, error)


@pytest.mark.gen_test
async def test_a_body_that_is_not_a_form_is_415_after_the_credentials(
    api: Api, app: Application
) -> None:
    client = await new_client(app)
    for authorization, status in ((credentials(client), 415), (None, 401)):
        answer = await api.request(
            "POST", INTROSPECT, authorization=authorization, json_body={"token": "x"}
        )
        assert answer.status == status


@pytest.mark.gen_test
async def test_only_the_digest_of_a_secret_is_stored(app: Application, dsn: str) -> None:
    client = await new_client(app)
    [row] = run_sql(dsn, "SELECT c::text FROM clients c")
    assert client.secret not in row[0]
    assert client.client_id in row[0]
    assert client.secret not in repr(client)


@pytest.mark.gen_test
async def test_concurrent_introspections_share_lookups(api: Api, app: Application) -> None:
    client = await new_client(app)
    token = await api.registered_token()
    found = await asyncio.gather(*(introspect(api, client, token) for _ in range(50)))
    assert all(document != INACTIVE for document in found)


@pytest.mark.parametrize("path", ["/api/token/introspect", "/api/token/revoke"])
@pytest.mark.gen_test
async def test_services_are_challenged_with_basic_only(api: Api, path: str) -> None:
    for authorization in (None, "Bearer a.b", basic("client", "secret")):
        answer = await api.request("POST", path, authorization=authorization)
        [challenge] = answer.headers.get_list("WWW-Authenticate")
        assert (answer.status, challenge.split()[0]) == (401, "Basic")

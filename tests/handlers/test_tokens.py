"""Tokens: forged, expired, revoked, without a row."""

import base64
import hashlib
import uuid
from functools import reduce
from operator import and_, or_

import pytest
from itsdangerous import Signer
from itsdangerous.encoding import base64_decode

from rules.tokens import TokenClaims, TokenKind, TokenSigner
from settings import Settings
from tests.harness.another_server import another_server
from tests.harness.api import Answer, Api, bearer
from tests.harness.clock import Clock
from tests.harness.sql import run_sql

NEW_KEY, OLD_KEY, REMOVED_KEY = (f"{name}-signing-key-for-the-tests-0" for name in ("n", "o", "r"))
LIFETIME = 86400


@pytest.fixture
def keys() -> list[str]:
    """Return two keys: the old one only verifies."""
    return [NEW_KEY, OLD_KEY]


async def read(api: Api, token: str) -> Answer:
    return await api.request("GET", "/api/user", authorization=bearer(token))


async def expect_rejected(api: Api, token: str, problem: str = "token-invalid") -> None:
    answer = await read(api, token)
    assert (answer.status, answer.problem) == (401, problem)
    assert answer.headers.get_list("WWW-Authenticate") == [
        'Basic realm="userauth", charset="UTF-8"',
        'Bearer realm="userauth", error="invalid_token"',
    ]


def claims_of(token: str) -> TokenClaims:
    """Return the payload of a token, whatever its signature."""
    token_id, expiry, _ = token.split(".")
    return TokenClaims(str(uuid.UUID(token_id)), int(expiry))


@pytest.mark.gen_test
async def test_the_payload_is_only_the_id_of_the_row_and_the_expiry(
    api: Api, dsn: str, clock: Clock
) -> None:
    user_id = (await api.register()).json["id"]
    token = await api.token()
    claims = claims_of(token)
    assert run_sql(dsn, "SELECT id, extract(epoch FROM expires_at)::bigint FROM tokens") == [
        (claims.token_id, claims.expires_at)
    ]
    assert claims.expires_at == clock() + LIFETIME
    readable = token.encode() + b"".join(base64_decode(part + "==") for part in token.split("."))
    for hidden in (user_id, uuid.UUID(user_id).hex, "susan", "example.com"):
        assert hidden.encode() not in readable
    assert uuid.UUID(user_id).bytes not in readable


@pytest.mark.gen_test
async def test_the_signature_is_as_long_as_sha_256_or_longer(api: Api) -> None:
    token = await api.registered_token()
    signature = base64.urlsafe_b64decode(token.rpartition(".")[2] + "==")
    assert len(signature) >= hashlib.sha256().digest_size


@pytest.mark.gen_test
async def test_the_id_of_a_token_has_the_first_byte_of_its_user_and_120_random_bits(
    api: Api,
) -> None:
    user_id = (await api.register()).json["id"]
    ids = [uuid.UUID(claims_of(await api.token()).token_id).int for _ in range(40)]
    assert {token_id >> 120 for token_id in ids} == {uuid.UUID(user_id).bytes[0]}
    random = [token_id % 2**120 for token_id in ids]
    # Each bit is set in some and clear in others, except with a chance of 2 in 10^9.
    assert reduce(or_, random) == 2**120 - 1
    assert reduce(and_, random) == 0


@pytest.mark.gen_test
async def test_a_token_whose_id_begins_otherwise_stays_valid(api: Api, dsn: str) -> None:
    user_id = (await api.register()).json["id"]
    claims = claims_of(await api.token())
    earlier = uuid.UUID(claims.token_id).int ^ 1 << 127
    token_id = str(uuid.UUID(int=earlier))
    run_sql(dsn, "UPDATE tokens SET id = %s WHERE user_id = %s", (token_id, user_id))
    signer = TokenSigner([OLD_KEY], clock=lambda: 0.0)
    token = signer.issue(TokenClaims(token_id, claims.expires_at))
    assert len(token) == 91
    assert (await read(api, token)).status == 200


@pytest.mark.gen_test
async def test_a_token_with_any_part_modified_is_rejected(api: Api, dsn: str) -> None:
    token = await api.registered_token()
    other = await api.token()
    token_id, expiry, signature = token.split(".")
    for forged in {
        f"{uuid.uuid4()}.{expiry}.{signature}",
        f"{uuid.uuid4().hex}.{expiry}.{signature}",
        f"{token_id}.{int(expiry) + 1}.{signature}",
        f"{token_id}.{expiry}.{signature[:-1]}",
        f"{token_id}.{expiry}.{signature[::-1]}",
        f"{token_id}.{expiry}.{other.rpartition('.')[2]}",
        f"{token_id}.{expiry}.{signature}.{signature}",
        f"{token_id.upper()}.{expiry}.{signature}",
        f"{token_id}.{expiry}",
        f"{token_id}.0{expiry}.{signature}",
        f"{expiry}.{token_id}.{signature}",
        f"{uuid.UUID(token_id)}.{expiry}.{signature}",
        f"{uuid.UUID(token_id).hex}.{expiry}.{signature}",
        token + "A",
        "A" + token,
        token.swapcase(),
    } - {token}:
        await expect_rejected(api, forged)
    assert (await read(api, token)).status == 200
    assert run_sql(dsn, "SELECT count(*) FROM tokens WHERE revoked_at IS NULL") == [(2,)]


@pytest.mark.gen_test
async def test_a_token_expires_to_the_second(api: Api, clock: Clock) -> None:
    token = await api.registered_token()
    clock.advance(LIFETIME - 0.1)
    assert (await read(api, token)).status == 200
    clock.advance(0.1)
    await expect_rejected(api, token, "token-expired")


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.gen_test
async def test_an_expired_token_changes_nothing(api: Api, clock: Clock, method: str) -> None:
    token = await api.registered_token()
    clock.advance(LIFETIME)
    body = {"name": "Susan"} if method == "PATCH" else None
    answer = await api.request(method, "/api/user", authorization=bearer(token), json_body=body)
    assert (answer.status, answer.problem) == (401, "token-expired")
    user = await read(api, await api.token())
    assert (user.status, user.json["name"]) == (200, None)


@pytest.mark.gen_test
async def test_the_newest_key_signs_and_a_rotated_one_still_verifies(
    api: Api, clock: Clock
) -> None:
    token = await api.registered_token()
    assert TokenSigner([NEW_KEY], clock).read(token) == claims_of(token)
    rotated = TokenSigner([OLD_KEY], clock).issue(claims_of(token))
    assert (await read(api, rotated)).status == 200


@pytest.mark.gen_test
async def test_a_removed_key_verifies_nothing(api: Api, clock: Clock) -> None:
    token = await api.registered_token()
    await expect_rejected(api, TokenSigner([REMOVED_KEY], clock).issue(claims_of(token)))


@pytest.mark.gen_test
async def test_other_keys_invalidate_every_token_and_no_password(
    api: Api, settings: Settings, dsn: str, clock: Clock
) -> None:
    token = await api.registered_token()
    async with another_server(settings, [REMOVED_KEY], dsn, clock) as other:
        await expect_rejected(other, token)
        assert (await read(other, await other.token())).status == 200


@pytest.mark.parametrize(
    "signer",
    [
        Signer(NEW_KEY),
        Signer(NEW_KEY, salt=TokenKind.TOKEN.salt),
        Signer(NEW_KEY, salt=TokenKind.TOKEN.salt, key_derivation="hmac"),
        Signer(NEW_KEY, key_derivation="hmac", digest_method=hashlib.sha256),
        Signer(
            NEW_KEY, salt="another.purpose", key_derivation="hmac", digest_method=hashlib.sha256
        ),
        Signer(
            NEW_KEY, salt=TokenKind.TOKEN.salt, key_derivation="none", digest_method=hashlib.sha256
        ),
        Signer("", salt=TokenKind.TOKEN.salt, key_derivation="hmac", digest_method=hashlib.sha256),
    ],
)
@pytest.mark.gen_test
async def test_a_signature_for_another_purpose_or_by_sha_1_is_rejected(
    api: Api, signer: Signer
) -> None:
    token = await api.registered_token()
    await expect_rejected(api, signer.sign(token.rpartition(".")[0]).decode())


@pytest.mark.parametrize(
    "revocation",
    [
        "UPDATE tokens SET revoked_at = now()",
        "UPDATE tokens SET revoked_at = now() + interval '1 hour'",
        "DELETE FROM tokens",
        "DELETE FROM users",
        "UPDATE tokens SET user_id = NULL",
    ],
)
@pytest.mark.gen_test
async def test_a_token_is_valid_only_while_its_row_is(api: Api, dsn: str, revocation: str) -> None:
    token = await api.registered_token()
    assert (await read(api, token)).status == 200
    run_sql(dsn, revocation)
    await expect_rejected(api, token)


@pytest.mark.gen_test
async def test_a_revocation_that_is_undone_makes_the_token_valid_again(api: Api, dsn: str) -> None:
    """No result is cached, neither for a valid token nor for a revoked one."""
    token = await api.registered_token()
    run_sql(dsn, "UPDATE tokens SET revoked_at = now()")
    await expect_rejected(api, token)
    run_sql(dsn, "UPDATE tokens SET revoked_at = NULL")
    assert (await read(api, token)).status == 200


@pytest.mark.gen_test
async def test_a_valid_signature_over_an_unknown_id_is_rejected(api: Api, clock: Clock) -> None:
    await api.registered_token()
    claims = TokenClaims(str(uuid.uuid4()), int(clock()) + 60)
    await expect_rejected(api, TokenSigner([NEW_KEY], clock).issue(claims))


@pytest.mark.gen_test
async def test_a_token_identifies_its_own_user(api: Api) -> None:
    susan = await api.registered_token("susan@example.com")
    other = await api.registered_token("other@example.com")
    assert (await read(api, susan)).json["email"] == "susan@example.com"
    assert (await read(api, other)).json["email"] == "other@example.com"

"""/api/user/password/reset: a new password in place of a forgotten one."""

import pytest

from rules.message_kinds import MessageKind
from tests.harness.api import Api
from tests.harness.configuration import override_settings
from tests.harness.mail import MAIL, last_message, secrets_of

pytestmark = override_settings(**MAIL)
NEW = "another horse battery"


@pytest.mark.gen_test
async def test_a_token_sets_a_new_password_once(api: Api, dsn: str) -> None:
    token = await api.registered_token()
    requested = await api.request(
        "POST", "/api/user/password/reset", json_body={"email": "susan@example.com"}
    )
    assert requested.status == 202
    message_id = last_message(dsn, MessageKind.PASSWORD_RESET)
    assert requested.json == {"request": message_id}
    secrets = secrets_of(message_id, MessageKind.PASSWORD_RESET)
    body = {"token": secrets.token, "password": NEW}
    confirmed = await api.request("POST", "/api/user/password/reset/confirm", json_body=body)
    assert (confirmed.status, confirmed.json) == (200, {})
    again = await api.request("POST", "/api/user/password/reset/confirm", json_body=body)
    assert (again.status, again.problem) == (422, "code-invalid")
    assert (await api.log_in(password=NEW)).status == 200
    assert (await api.log_in()).status == 401
    del token

"""Calls of a client that openapi-python-client generates."""

import os

from generated.api.login import post_login
from generated.api.user import delete_user, get_user, patch_user, post_register
from generated.client import AuthenticatedClient, Client
from generated.models import (
    Login,
    NewToken,
    ProblemDocument,
    Registration,
    User,
    UserChanges,
)

URL = os.environ["USERAUTH_URL"]
EMAIL, PASSWORD = "susan@example.com", "correct horse battery"


def main() -> None:
    anonymous = Client(URL)
    account = Registration(email=EMAIL, password=PASSWORD)
    user = post_register.sync(client=anonymous, body=account)
    assert isinstance(user, User)
    assert (user.email, user.name) == (EMAIL, None)

    conflict = post_register.sync(client=anonymous, body=account)
    assert isinstance(conflict, ProblemDocument)
    assert (conflict.status, bool(conflict.request_id)) == (409, True)

    login = post_login.sync(client=anonymous, body=Login(email=EMAIL, password=PASSWORD))
    assert isinstance(login, NewToken)
    client = AuthenticatedClient(URL, token=login.token)
    read = get_user.sync(client=client)
    assert isinstance(read, User)
    assert read.id == user.id

    changed = patch_user.sync(client=client, body=UserChanges(name="Susan 👍"))
    assert isinstance(changed, User)
    assert changed.name == "Susan 👍"

    assert delete_user.sync_detailed(client=client).status_code == 200
    rejected = get_user.sync(client=client)
    assert isinstance(rejected, ProblemDocument)
    assert rejected.status == 401


main()

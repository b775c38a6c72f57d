"""Calls of a client that openapi-generator generates."""

import os
from collections.abc import Callable

from generated import (
    ApiClient,
    ApiException,
    Configuration,
    Login,
    LoginApi,
    ProblemDocument,
    Registration,
    UserApi,
    UserChanges,
)

URL = os.environ["USERAUTH_URL"]
EMAIL, PASSWORD = "susan@example.com", "correct horse battery"


def main() -> None:
    anonymous = ApiClient(Configuration(host=URL))
    account = Registration(email=EMAIL, password=PASSWORD)
    user = UserApi(anonymous).post_register(account)
    assert (user.email, user.name) == (EMAIL, None)
    assert problem_of(lambda: UserApi(anonymous).post_register(account)).status == 409

    login = LoginApi(anonymous).post_login(Login(email=EMAIL, password=PASSWORD))
    users = UserApi(ApiClient(Configuration(host=URL, access_token=login.token)))
    assert users.get_user().id == user.id
    assert users.patch_user(UserChanges(name="Susan 👍")).name == "Susan 👍"
    users.delete_user()
    assert problem_of(users.get_user).status == 401


def problem_of(call: Callable[[], object]) -> ProblemDocument:
    """Return the problem document of a call that the server rejects."""
    try:
        call()
    except ApiException as error:
        problem = ProblemDocument.from_json(error.body)
    assert problem.request_id
    return problem


main()

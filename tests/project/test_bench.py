"""What the bench measures starts, and answers what its marks are reckoned from."""

import httpx

from bench.people import Person
from bench.targets import basic, userauth
from tests.harness.api import PASSWORD


def test_the_measured_server_answers_as_it_is_asked_by_the_bench(dsn: str) -> None:
    person = Person(email="susan@example.com", password=PASSWORD)
    with userauth(dsn, "test") as target, httpx.Client() as client:
        site = target.user_url
        account = {"email": person.email, "password": person.password}
        assert client.post(f"{site}/register", json=account).status_code == 201
        login = client.get(f"{site}/login", headers={"Authorization": basic(person)})
        assert login.status_code == 200
        token = {"Authorization": f"Bearer {login.json()['token']}"}
        assert client.get(site, headers=token).json()["email"] == person.email

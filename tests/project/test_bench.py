"""The server that the bench measures starts and returns what its figures assume."""

import httpx

from bench.dataset import Credentials
from bench.targets import basic, userauth
from tests.harness.api import PASSWORD


def test_the_measured_server_accepts_the_requests_of_the_bench(dsn: str) -> None:
    credentials = Credentials(email="susan@example.com", password=PASSWORD)
    with userauth(dsn, "test") as target, httpx.Client() as client:
        url = target.user_url
        account = {"email": credentials.email, "password": credentials.password}
        assert client.post(f"{url}/register", json=account).status_code == 201
        login = client.get(f"{url}/login", headers={"Authorization": basic(credentials)})
        assert login.status_code == 200
        token = {"Authorization": f"Bearer {login.json()['token']}"}
        assert client.get(url, headers=token).json()["email"] == credentials.email

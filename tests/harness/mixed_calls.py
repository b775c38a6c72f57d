"""Clients that send mixed calls to several servers at once, and count the statuses."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from tests.harness.api import PASSWORD, Answer, Api, basic, bearer

_WRONG = "wrong horse battery"
_NEW_PASSWORD = "another horse battery"


async def send_mixed_calls(
    urls: Sequence[str], *, clients: int, seconds: float
) -> Counter[tuple[str, int]]:
    """Send calls for some seconds; return how often each call got each status.

    Each client has users of its own, so the status of each call is known; each call goes to the
    next server.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    apis = [Api(url) for url in urls]
    seen: Counter[tuple[str, int]] = Counter()
    work = [_Client(number, apis, seen).run(deadline) for number in range(clients)]
    await asyncio.gather(*work)
    for api in apis:
        api.close()
    return seen


class _Client:
    def __init__(self, number: int, apis: Sequence[Api], seen: Counter[tuple[str, int]]) -> None:
        self._number = number
        self._apis = apis
        self._seen = seen
        self._sent = number

    async def run(self, deadline: float) -> None:
        turn = 0
        while asyncio.get_running_loop().time() < deadline:
            await self._live(f"client{self._number}.{turn}@example.com")
            turn += 1

    async def _live(self, email: str) -> None:
        """Send the calls of a user, from the registration to the deletion."""
        user, wrong = basic(email, PASSWORD), basic(email, _WRONG)
        registration = {"email": email, "password": PASSWORD}
        await self._call(201, "POST", "/api/user/register", json_body=registration)
        await self._call(409, "POST", "/api/user/register", json_body=registration)
        await self._call(401, "GET", "/api/user/login", wrong)
        tokens = [
            str((await self._call(200, "GET", "/api/user/login", user)).json["token"])
            for _ in range(2)
        ]
        for token in tokens * 3:
            await self._call(200, "GET", "/api/user", bearer(token))
        await self._call(200, "GET", "/api/verify", bearer(tokens[0]))
        await self._call(200, "GET", "/api/user/tokens", bearer(tokens[0]))
        await self._call(200, "PATCH", "/api/user", user, json_body={"name": "Susan"})
        await self._call(204, "POST", "/api/user/logout", bearer(tokens[0]))
        await self._call(401, "GET", "/api/user", bearer(tokens[0]))
        await self._call(200, "PATCH", "/api/user", user, json_body={"password": _NEW_PASSWORD})
        await self._call(401, "GET", "/api/user", bearer(tokens[1]))
        await self._call(200, "DELETE", "/api/user", basic(email, _NEW_PASSWORD))

    async def _call(
        self,
        expected: int,
        method: str,
        path: str,
        authorization: str | None = None,
        *,
        json_body: object = None,
    ) -> Answer:
        self._sent += 1
        api = self._apis[self._sent % len(self._apis)]
        answer = await api.request(method, path, authorization=authorization, json_body=json_body)
        self._seen[f"{method} {path}", answer.status] += 1
        assert answer.status == expected, (method, path, answer)
        return answer

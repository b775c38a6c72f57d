"""A connected socket to an SMTP server.

aiosmtplib lets the event loop resolve the host name, in threads that a stop of the server waits
for.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ops.host_names import HostNames
from settings.mail_url import SmtpUrl


async def connect(url: SmtpUrl, names: HostNames, seconds: float) -> socket.socket:
    """Return a socket that is connected to one of the IP addresses of the server.

    Each address gets an equal share of the remaining time. Raises OSError.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    async with _time_limit(seconds, f"the host name {url.host} was not resolved in time"):
        addresses = await names.resolve(url.host)
    while True:
        address, *addresses = addresses
        share = (deadline - clock()) / (len(addresses) + 1)
        try:
            async with _time_limit(share, f"{address} port {url.port}: no response in time"):
                return await _connect_to(address, url.port)
        except OSError:
            if not addresses:
                raise


@asynccontextmanager
async def _time_limit(seconds: float, message: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise TimeoutError(message) from None


async def _connect_to(address: str, port: int) -> socket.socket:
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    connection.settimeout(0)
    try:
        await asyncio.get_running_loop().sock_connect(connection, (address, port))
    except BaseException:
        connection.close()
        raise
    return connection

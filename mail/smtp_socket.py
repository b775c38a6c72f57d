"""A connected socket to an SMTP server.

aiosmtplib lets the event loop resolve the host name, in threads that a stop of the server waits
for.
"""

import asyncio
import os
import socket
from collections import deque

from ops.host_names import HostNames
from settings.mail_url import SmtpUrl


async def connect(url: SmtpUrl, names: HostNames, seconds: float) -> socket.socket:
    """Return a socket that is connected to one of the IP addresses of the server.

    Each address gets an equal share of the remaining time. Raises OSError; its message has the
    reason of each address.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    addresses = deque(await _resolve(url.host, names, seconds))
    reasons: list[str] = []
    while addresses:
        address = addresses.popleft()
        share = (deadline - clock()) / (len(addresses) + 1)
        try:
            async with asyncio.timeout(share):
                return await _connect_to(address, url.port)
        except OSError as error:
            place = "" if address == url.host else f"{address}: "
            reasons.append(place + reason_of(error))
    raise OSError("; ".join(reasons))


def reason_of(error: OSError) -> str:
    """Return the reason of an error, without the address that asyncio adds."""
    if isinstance(error, TimeoutError):
        return "no response in time"
    # The numbers of name resolution are others.
    if isinstance(error, socket.gaierror) or error.errno is None:
        return error.strerror or str(error) or type(error).__name__
    return os.strerror(error.errno)


async def _resolve(host: str, names: HostNames, seconds: float) -> list[str]:
    """Return the IP addresses of a host; raises OSError."""
    try:
        async with asyncio.timeout(seconds):
            return await names.resolve(host)
    except TimeoutError:
        raise OSError("the host name was not resolved in time") from None
    except UnicodeError:
        raise OSError("the host name is invalid") from None
    except OSError as error:
        raise OSError(f"the host name cannot be resolved: {reason_of(error)}") from None


async def _connect_to(address: str, port: int) -> socket.socket:
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    connection.settimeout(0)
    try:
        await asyncio.get_running_loop().sock_connect(connection, (address, port))
    except RuntimeError as error:
        # asyncio resolves an address with a zone, in a thread, which may not start.
        connection.close()
        raise OSError(str(error)) from error
    except BaseException:
        connection.close()
        raise
    return connection

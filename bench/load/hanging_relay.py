"""A mail relay that accepts a message, and then never replies."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

# The dialogue of RFC 5321, up to the message.
_REPLIES = (
    b"220 relay.example ESMTP\r\n",
    b"250 relay.example\r\n",
    b"250 OK\r\n",
    b"250 OK\r\n",
    b"354 Go on\r\n",
)


@contextmanager
def hanging_relay() -> Iterator[str]:
    """Listen during the block; yield the URL of the relay."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        accepting = threading.Thread(target=_accept, args=(listener,), daemon=True)
        accepting.start()
        try:
            yield f"smtp://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            # close() alone does not end an accept() in another thread.
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _accept(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # shut down at the end of the block
            return
        threading.Thread(target=_hang, args=(connection,), daemon=True).start()


def _hang(connection: socket.socket) -> None:
    # The server may disconnect at any time, also within the dialogue.
    with suppress(ConnectionError), closing(connection), connection.makefile("rb") as lines:
        for reply in _REPLIES:
            connection.sendall(reply)
            lines.readline()
        # Read until the server gives up, without any reply.
        while lines.readline():
            pass

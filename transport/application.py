"""What the HTTP server reads and sets on the application that it serves."""

import tornado.web

from transport.client_address import ClientAddresses


class ServedApplication(tornado.web.Application):
    """An application that counts its running requests and knows whether the server drains."""

    addresses: ClientAddresses
    max_body_bytes: int
    running: int
    draining: bool

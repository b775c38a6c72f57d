"""The baseline `bare page`: Tornado on uvloop with one stock handler that renders a template.

Run as `python -m bench.bare_page BYTES`, with the size of the page; it listens on a free port of
127.0.0.1 and prints its URL. Without sessions, form tokens, languages and a log, it shows the cost
of Tornado and of a form with as many fields.
"""

import asyncio
import sys

import uvloop
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.template import DictLoader
from tornado.web import Application, RequestHandler

from bench.bare import no_log
from bench.targets import SIGN_IN_PATH

FIELDS = ("email", "password", "keep_signed_in")
_TEMPLATES = {
    "layout.html": (
        "<!DOCTYPE html><html><head><title>{{ title }}</title></head>"
        "<body>{% block main %}{% end %}<p>{{ rest }}</p></body></html>"
    ),
    "page.html": (
        '{% extends "layout.html" %}{% block main %}<h1>{{ title }}</h1><form method="post">'
        '{% for field in fields %}<label for="{{ field }}">{{ field }}</label>'
        '<input id="{{ field }}" name="{{ field }}">{% end %}</form>{% end %}'
    ),
}


class PageHandler(RequestHandler):
    def initialize(self, size: int) -> None:
        self.size = size

    def get(self) -> None:
        self.render("page.html", title="Sign in", fields=FIELDS, rest="x" * self.size)


def padding_for(size: int) -> int:
    """Return how many bytes the page must contain to have a size."""
    page = DictLoader(_TEMPLATES).load("page.html")
    return max(0, size - len(page.generate(title="Sign in", fields=FIELDS, rest="")))


async def _serve(size: int) -> None:
    application = Application(
        [(SIGN_IN_PATH, PageHandler, {"size": padding_for(size)})],
        log_function=no_log,
        template_loader=DictLoader(_TEMPLATES),
    )
    server = HTTPServer(application)
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    print(f"bare page listens on http://127.0.0.1:{sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1])))

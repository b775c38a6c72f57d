"""The metrics of a server, parsed as Prometheus parses them."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families
from tornado.httpclient import AsyncHTTPClient

from handlers.application import Application
from handlers.metrics import MetricsServer

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Scrape:
    """One scrape of all metrics."""

    text: str
    samples: Mapping[tuple[str, Labels], float]

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of the samples with a name and these labels; 0 if there are none."""
        wanted = set(labels.items())
        return sum(
            value
            for (found, has), value in self.samples.items()
            if found == name and wanted <= set(has)
        )

    def labels(self, name: str) -> set[str]:
        """Return the values of a label in all metrics."""
        return {value for _, has in self.samples for key, value in has if key == name}

    @property
    def names(self) -> set[str]:
        """Return the names of all samples."""
        return {name for name, _ in self.samples}


def read(text: str) -> Scrape:
    return Scrape(text, dict(_samples(text)))


def _samples(text: str) -> Iterator[tuple[tuple[str, Labels], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield (sample.name, tuple(sorted(sample.labels.items()))), sample.value


async def scrape(port: int) -> Scrape:
    """Scrape the metrics over a socket."""
    client = AsyncHTTPClient(force_instance=True)
    try:
        response = await client.fetch(f"http://127.0.0.1:{port}/metrics")
        return read(response.body.decode())
    finally:
        client.close()


@asynccontextmanager
async def listening(app: Application) -> AsyncIterator[int]:
    """Serve the metrics of an application; yield the port."""
    assert app.metrics is not None
    server = MetricsServer(app.metrics)
    port = await server.listen("127.0.0.1", 0)
    try:
        yield port
    finally:
        await server.close()


def read_now(url: str) -> str:
    """Return the content of a URL, without an event loop."""
    address = urlsplit(url)
    with closing(HTTPConnection(address.hostname or "", address.port, timeout=10)) as connection:
        connection.request("GET", address.path)
        return connection.getresponse().read().decode()

"""/openapi.json, /docs: the documentation of the API."""

from http import HTTPStatus
from typing import ClassVar

from contract.calls import Call, Response
from handlers.base import BaseHandler

_READ = Call(
    summary="Read the documentation",
    description="The document is the same for every caller.",
    response=Response("A document."),
)


class StaticDocumentHandler(BaseHandler):
    calls: ClassVar = {"GET": _READ, "HEAD": _READ}
    ignores_unknown_parameters = True

    def get(self) -> None:
        document = self.application.static_documents[self.request.path]
        self.cache_control = document.cache_control
        if document.matches(self.request.headers.get("If-None-Match")):
            self.respond(HTTPStatus.NOT_MODIFIED, document.fields)
        else:
            media_type = ("Content-Type", document.media_type)
            self.respond(HTTPStatus.OK, (media_type, *document.fields), document.content)

    head = get

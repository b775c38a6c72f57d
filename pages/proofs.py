"""The base of pages that accept the secret of a message.

The secret is in the fragment of the link, which no server receives: a script moves it into the
form. Without scripts, a person types the code.
"""

import re
from collections.abc import Mapping
from typing import ClassVar

from pages.base import WITH_FORM, PageHandler
from pages.describe import describe
from pages.forms import PageForm
from pages.queries import query_value
from rules.errors import CodeInvalid, FieldError, InvalidFields, Problem
from services.proofs import Proof
from transport.response import Fields

# People type a code as the message shows it, in groups.
_SEPARATORS = re.compile(r"[\s-]+")


class ProofForm(PageForm):
    """The secret of a message to the identified user."""

    token: str = ""
    code: str = ""

    @property
    def proof(self) -> Proof:
        """Return the secret."""
        if self.token:
            return Proof(token=self.token)
        return Proof(code=_SEPARATORS.sub("", self.code))


class RequestedProofForm(ProofForm):
    """The secret of a message; a code together with the id in the link."""

    request: str = ""

    @property
    def proof(self) -> Proof:
        """Return the secret."""
        found = super().proof
        return found if found.code is None else Proof(code=found.code, request=self.request)


class ProofPage(PageHandler):
    """A page that a link in a message opens. Opening it does not use up the secret."""

    calls: ClassVar = WITH_FORM

    @property
    def initial_values(self) -> Mapping[str, str]:
        return {"request": query_value(self.request.query, "request")}

    def require(self, *names: str) -> None:
        """Raise InvalidFields with each field that is empty; a token replaces the code."""
        given = {*self.parameters, *(("code",) if "token" in self.parameters else ())}
        missing = [FieldError(name, "is required") for name in names if name not in given]
        if missing:
            raise InvalidFields(missing)

    def show_form_again(
        self, problem: Problem, status: int, fields: Fields, **values: object
    ) -> None:
        if isinstance(problem, CodeInvalid):
            errors = {"code": describe(self.texts, problem, self.pages.public_url)}
            self.show(status, fields, form=self.form_view(errors), **values)
        else:
            super().show_form_again(problem, status, fields, **values)

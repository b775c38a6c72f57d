"""Proofs in bodies: the secret of a message, as its link token or as its code."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from contract.forms import Form
from services.proofs import Proof

Token = Annotated[
    str,
    Field(description="The part of the link after `#`.", json_schema_extra={"maxLength": 80}),
]
Code = Annotated[
    str,
    Field(description="The 8 digits in the message.", json_schema_extra={"examples": ["01234567"]}),
]
RequestId = Annotated[
    str,
    Field(description="The id of the message: `request` in its link. Goes together with `code`."),
]


class ProofByUser(Form):
    """The secret of a message to the user who sends it: exactly one of token and code."""

    token: Token | None = None
    code: Code | None = None

    @model_validator(mode="after")
    def _require_one(self) -> Self:
        if (self.token is None) == (self.code is None):
            raise ValueError("must have exactly one of token and code")
        return self

    @property
    def proof(self) -> Proof:
        return Proof(token=self.token, code=self.code)


class ProofByAnyone(ProofByUser):
    """The secret of a message: a token; or a code, with the id of its request."""

    request: RequestId | None = None

    @model_validator(mode="after")
    def _require_request_of_code(self) -> Self:
        if (self.code is None) != (self.request is None):
            raise ValueError("must have request together with code, and not with token")
        return self

    @property
    def proof(self) -> Proof:
        return Proof(token=self.token, code=self.code, request=self.request)

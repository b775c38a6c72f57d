"""Types of body fields that have rules, with those rules as JSON Schema.

Only the type is checked here: rules/ checks the rest, with error messages of its own.
If a schema cannot express a rule, its description does.
"""

import re
from typing import Annotated

from pydantic import WithJsonSchema
from typing_extensions import TypeAliasType

from rules import emails, names, text_bounds


def _in_bmp(characters: str) -> str:
    """Return a class of characters without those beyond U+FFFF.

    Many validators compile patterns without the flag ``u`` of ECMA-262: a range of such characters
    is a syntax error there. The server rejects more than the pattern.
    """
    return re.sub("[\U00010000-\U0010ffff](-[\U00010000-\U0010ffff])?", "", characters)


# Control characters, in the syntax of ECMA-262 and Python.
_CONTROL = r"\u0000-\u001f\u007f-\u009f"
_SPACE = names.SPACE
_REJECTED = _in_bmp(names.REJECTED)
_OUTER = f"[^{_REJECTED}{_SPACE}{names.JOINERS}]"
# A joiner is between two characters that are neither joiners nor white space.
_INNER_SPACE = f"(?![{_REJECTED}])[{_SPACE}](?![{names.JOINERS}])"
_INNER = f"(?:{_OUTER}|{_INNER_SPACE}|[{names.JOINERS}](?={_OUTER}))"
_UNSEEN = f"{_SPACE}{_in_bmp(names.INVISIBLE)}{names.JOINERS}"
_HAS_VISIBLE = f"(?=[{_UNSEEN}]*[^{_UNSEEN}])"
_MARKS = f"no more than {text_bounds.MAX_MARKS} consecutive combining marks"

Email = TypeAliasType(
    "Email",
    Annotated[
        str,
        WithJsonSchema(
            {
                "type": "string",
                "format": "idn-email",
                "maxLength": emails.MAX_LENGTH,
                "description": "An email address (RFC 5321, RFC 6531), without quotes, of a public"
                " domain unless `registration.internal_domains` is true; with at most"
                f" {emails.MAX_LOCAL_BYTES} bytes before @; stored without white space at the"
                " ends, in its normal form, and unique regardless of case.",
                "examples": ["susan@example.com"],
            }
        ),
    ],
)

Name = TypeAliasType(
    "Name",
    Annotated[
        str,
        WithJsonSchema(
            {
                "type": "string",
                "maxLength": text_bounds.MAX_CODE_POINTS,
                "pattern": f"^{_HAS_VISIBLE}[{_SPACE}]*{_OUTER}"
                f"(?:{_INNER}{{0,{names.MAX_LENGTH - 2}}}{_OUTER})?[{_SPACE}]*$",
                "description": f"1 to {names.MAX_LENGTH} characters, at least one of them visible,"
                " not counting white space at the ends, which is removed; without control"
                " characters, line breaks, and invisible format characters except the joiners"
                " U+200C and U+200D between two characters; with"
                f" {_MARKS}; counted and stored in Unicode normalization form NFC.",
                "examples": ["Susan"],
            }
        ),
    ],
)

# Its ``minLength`` is a setting: contract.openapi_schemas adds it.
NewPassword = TypeAliasType(
    "NewPassword",
    Annotated[
        str,
        WithJsonSchema(
            {
                "type": "string",
                "format": "password",
                "maxLength": text_bounds.MAX_LENGTH,
                "pattern": f"^[^{_CONTROL}]*$",
                "description": f"Any characters except control characters, with {_MARKS}; counted"
                " and compared in Unicode normalization form NFC.",
                "examples": ["correct horse battery"],
            }
        ),
    ],
)

# Anything that was accepted as a new password, in any normalization form.
CurrentPassword = TypeAliasType(
    "CurrentPassword",
    Annotated[
        str,
        WithJsonSchema(
            {
                "type": "string",
                "format": "password",
                "maxLength": text_bounds.MAX_CODE_POINTS,
                "description": "The user's password, compared in Unicode normalization form NFC.",
                "examples": ["correct horse battery"],
            }
        ),
    ],
)

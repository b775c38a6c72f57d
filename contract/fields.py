"""Types of body fields that have rules, with those rules as JSON Schema.

Only the type is checked here: the rules room checks the rest, with error messages of its own.
If a schema cannot express a rule, its description does.
"""

from typing import Annotated

from pydantic import WithJsonSchema
from typing_extensions import TypeAliasType

from rules import emails, names, text_bounds

# Control characters, and white space as Python defines it, in the syntax of ECMA-262 and Python.
_CONTROL = r"\u0000-\u001f\u007f-\u009f"
_SPACE = r"\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_INNER = f"[^{names.REJECTED}]"
_OUTER = f"[^{names.REJECTED}{_SPACE}]"
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
                "description": "An email address (RFC 5321, RFC 6531) of a public domain, without"
                " quotes; stored in its normal form, and unique regardless of case.",
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
                "pattern": f"^[{_SPACE}]*{_OUTER}"
                f"(?:{_INNER}{{0,{names.MAX_LENGTH - 2}}}{_OUTER})?[{_SPACE}]*$",
                "description": f"1 to {names.MAX_LENGTH} characters, not counting white space at"
                " the ends, which is removed; without control characters, line breaks, and"
                " invisible format characters except the joiners U+200C and U+200D; with"
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

"""Fields of bodies that have rules: how the rules of auth look in JSON Schema.

Nothing is checked by these but the type: the rules do that, and say what is wrong in words of
their own. Where a schema cannot say all of a rule, its description does.
"""

from typing import Annotated

from pydantic import WithJsonSchema
from typing_extensions import TypeAliasType

from rules import emails, names, text_bounds

# The control characters, and what Python takes for white space, as ECMA-262 and Python write them.
_CONTROL = r"\u0000-\u001f\u007f-\u009f"
_SPACE = r"\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_INNER = f"[^{names.REFUSED}]"
_OUTER = f"[^{names.REFUSED}{_SPACE}]"
_MARKS = f"no more than {text_bounds.MAX_MARKS} combining marks in a row"

Email = TypeAliasType(
    "Email",
    Annotated[
        str,
        WithJsonSchema(
            {
                "type": "string",
                "format": "idn-email",
                "maxLength": emails.MAX_LENGTH,
                "description": "An e-mail address (RFC 5321, RFC 6531) of a public domain, without"
                " quotes; kept in its normal form, and unique whatever its case.",
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
                "description": f"1 to {names.MAX_LENGTH} characters, besides white space at the"
                " ends, which is cut off; without control characters, line breaks, and invisible"
                " format characters but the joiners U+200C and U+200D; with"
                f" {_MARKS}; counted and kept in Unicode's form NFC.",
                "examples": ["Susan"],
            }
        ),
    ],
)

# Its ``minLength`` is a setting: contract.openapi adds it.
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
                "description": f"Any characters but control characters, with {_MARKS}; counted and"
                " compared in Unicode's form NFC.",
                "examples": ["correct horse battery"],
            }
        ),
    ],
)

# Whatever was a new password once, in any form of Unicode.
CurrentPassword = TypeAliasType(
    "CurrentPassword",
    Annotated[
        str,
        WithJsonSchema(
            {
                "type": "string",
                "format": "password",
                "maxLength": text_bounds.MAX_CODE_POINTS,
                "description": "The password of the user, compared in Unicode's form NFC.",
                "examples": ["correct horse battery"],
            }
        ),
    ],
)

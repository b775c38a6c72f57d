"""Weights in header fields for the preferences of a client (RFC 9110, section 12.4.2)."""

import re

_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def parse_weight(text: str) -> tuple[str, float]:
    """Return an element of a list in lower case, without parameters, and its weight.

    A malformed weight is 0.
    """
    name, *parameters = (part.strip(" \t").lower() for part in text.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            match = _WEIGHT.fullmatch(parameter)
            return name, float(match[1]) if match else 0.0
    return name, 1.0

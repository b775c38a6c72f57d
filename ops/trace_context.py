"""The position of a request in the trace of its sender (W3C Trace Context, level 1)."""

import re
from typing import NamedTuple

_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace_id>[0-9a-f]{32})-(?P<parent_id>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)


class TraceParent(NamedTuple):
    """The trace, the span of the sender, and whether the sender records it."""

    trace_id: str
    parent_id: str
    is_sampled: bool


def read_traceparent(value: str | None) -> TraceParent | None:
    """Parse a traceparent header; return None if it is invalid according to the standard.

    Only versions after the first may have further fields at the end (section 3.2.4).
    """
    found = _TRACEPARENT.fullmatch(value) if value else None
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"]):
        return None
    if not (found["trace_id"].strip("0") and found["parent_id"].strip("0")):
        return None
    return TraceParent(found["trace_id"], found["parent_id"], bool(int(found["flags"], 16) & 1))

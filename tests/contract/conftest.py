"""Invariants of every request in these tests."""

from tests.harness.invariants import _no_failure_is_logged, _no_request_is_still_counted

__all__ = ["_no_failure_is_logged", "_no_request_is_still_counted"]

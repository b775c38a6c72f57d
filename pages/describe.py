"""Errors in words for people."""

from pages.texts import Texts
from rules.errors import Problem


def describe(texts: Texts, problem: Problem) -> str:
    """Return what a person can do about an error."""
    seconds = dict(problem.headers).get("Retry-After", "")
    keys = (f"problem.{problem.name}", f"problem.{problem.status}", "problem.other")
    key = next(key for key in keys if texts.has(key))
    return texts(key, seconds=seconds)

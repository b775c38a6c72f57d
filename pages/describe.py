"""Descriptions of errors for people."""

from pages.texts import Texts
from rules.errors import CrossSiteRequest, Problem


def describe(texts: Texts, problem: Problem, site: str) -> str:
    """Return advice about an error; ``site`` is the origin of this server, if known."""
    seconds = dict(problem.headers).get("Retry-After", "0")
    keys = (f"problem.{problem.name}", f"problem.{problem.status}", "problem.other")
    key = next(key for key in keys if texts.has(key))
    text = texts(key, wait=texts.duration(int(seconds)))
    if site and isinstance(problem, CrossSiteRequest):
        return f"{text} {texts('problem.site', site=site)}"
    return text

"""The files of this program: its directory, its version, its settings and its schema."""

import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETTINGS_FILE = ROOT / "settings.toml"


def read_schema() -> str:
    """Return the text of schema.sql."""
    return (ROOT / "schema.sql").read_text(encoding="utf-8")


@cache
def version() -> str:
    """Return the version of this program."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])

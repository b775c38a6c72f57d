"""Fixtures that load changed settings."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from settings import Settings, SettingsError, load_settings
from tests.harness.settings_files import SHIPPED, Faults, Load


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "settings.toml"
    path.write_bytes(SHIPPED.read_bytes())
    return path


@pytest.fixture
def load(file: Path) -> Load:
    def load_with(environ: Mapping[str, str] | None = None, toml: str = "") -> Settings:
        """Load the shipped file with toml appended, with the given environment."""
        file.write_text(SHIPPED.read_text(encoding="utf-8") + toml, encoding="utf-8")
        return load_settings(environ or {}, file)

    return load_with


@pytest.fixture
def faults(load: Load) -> Faults:
    def faults_with(environ: Mapping[str, str] | None = None, toml: str = "") -> tuple[str, ...]:
        with pytest.raises(SettingsError) as caught:
            load(environ, toml)
        return caught.value.faults

    return faults_with

"""Load the settings from settings.toml, systemd's credentials and the environment."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from settings.checks import Context
from settings.faults import Layer, SettingsError, fault_of, faults_across_sections
from settings.model import FIELDS, VARIABLES, Settings
from settings.profiles import PROFILES, TABLES, Profile
from settings.renamed import OLD_VARIABLES, split_renamed, warn_of_variable
from settings.variables import PREFIX, fault_of_name, find_warnings

# As in TOML: pydantic would accept more words, such as yes and 1.
_BOOLEANS = {"true": True, "false": False}
# Pydantic would accept 1_000 and 8000.0, too.
_INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*")


def load_settings(environ: Mapping[str, str], file: Path, *, needs_keys: bool = True) -> Settings:
    """Return the settings of the profile that APP_SETTINGS names; ``environ`` overrides ``file``.

    Variables may also be files in $CREDENTIALS_DIRECTORY (systemd's LoadCredential=) with the name
    of the variable. Relative paths start at the directory of ``file``. Raises SettingsError with
    all faults at once. ``needs_keys`` is False for commands that sign no tokens: in production,
    they work without the keys.
    """
    read = _Read()
    read.file(file)
    texts = read.credentials(environ)
    texts |= {name: text for name, text in sorted(environ.items()) if text}
    read.environment(texts)
    choice = texts.get("APP_SETTINGS", "development")
    if choice not in PROFILES:
        read.faults.append(
            f"APP_SETTINGS = {json.dumps(choice)}: must be one of {', '.join(PROFILES)}"
        )
    profile = PROFILES.get(choice, Profile.DEVELOPMENT)
    context = Context(profile, file.absolute().parent, needs_keys, tuple(read.warnings))
    return read.validated(context)


@dataclass(slots=True)
class _Read:
    """The result of reading: layers of values, faults, and warnings about names."""

    tables: dict[str, list[Layer]] = field(default_factory=dict)
    variables: list[Layer] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def file(self, file: Path) -> None:
        """Read settings.toml; raises SettingsError if that is not possible."""
        document = _parse(file)
        for name in TABLES:
            table = document.pop(name) if isinstance(document.get(name), dict) else {}
            layers, warnings, faults = split_renamed(f"{file.name} [{name}]", table)
            self.tables[name] = layers
            self.warnings += warnings
            self.faults += faults
        must = f"must be one of the tables {', '.join(TABLES)}"
        self.faults += [f"{name} (from {file.name}): {must}" for name in document]

    def credentials(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that systemd passes as files."""
        texts: dict[str, str] = {}
        directory = environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            return texts
        try:
            files = [file for file in sorted(Path(directory).iterdir()) if _is_variable(file.name)]
        except OSError as error:
            self.faults.append(f"CREDENTIALS_DIRECTORY cannot be read: {error.strerror}")
            return texts
        for name, text in [(file.name, _text_of(file)) for file in files]:
            if text is None:
                must = "must be a readable file of UTF-8"
                self.faults.append(f"{name} (from CREDENTIALS_DIRECTORY): {must}")
            elif text and environ.get(name, text) not in {"", text}:
                self.faults.append(
                    f"{name} and the credential of that name differ: set only one of them"
                )
            elif text:
                texts[name] = text
        return texts

    def environment(self, texts: Mapping[str, str]) -> None:
        """Convert variables to values."""
        known = VARIABLES | OLD_VARIABLES
        names: dict[tuple[str, str], str] = {}
        for name in texts:
            if name in known:
                first = names.setdefault(known[name], name)
                if texts[first] != texts[name]:
                    self.faults.append(f"{first} and {name} differ: set only one of them")
            elif fault := fault_of_name(name, texts[name]):
                self.faults.append(fault)
        self.warnings += [warn_of_variable(name) for name in texts if name in OLD_VARIABLES]
        self.warnings += find_warnings(texts.items())
        self.variables = [
            (name, {section: {key: _converted(texts[name], FIELDS[section][key])}})
            for (section, key), name in names.items()
        ]

    def validated(self, context: Context) -> Settings:
        """Return the settings of a profile; raises SettingsError with all faults."""
        # The other profiles are checked too: a mistake in one is found before it is deployed.
        lenient = context._replace(profile=Profile.DEVELOPMENT, is_complete=False)
        for name in Profile:
            self.faults += _validate(lenient, [*self.tables[name], *self.tables["default"]])[1]
        layers = [*self.variables, *self.tables[context.profile], *self.tables["default"]]
        settings, faults = _validate(context, layers)
        if settings is None or self.faults or faults:
            # Other profiles may have the same faults as this one.
            raise SettingsError(*dict.fromkeys(self.faults + faults))
        return settings


def _parse(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{file}: must be UTF-8 (at line {line})") from None
    except ValueError as error:
        raise SettingsError(f"{file}: {error}") from None
    except RecursionError:
        raise SettingsError(f"{file}: it is nested too deeply") from None
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from None


def _is_variable(name: str) -> bool:
    return name in VARIABLES or name == "APP_SETTINGS" or name.startswith(PREFIX)


def _text_of(file: Path) -> str | None:
    try:
        # Anything but a regular file, such as a pipe, might never end.
        return file.read_bytes().decode("utf-8-sig").strip() if file.is_file() else None
    except (OSError, UnicodeDecodeError):
        return None


def _converted(text: str, info: FieldInfo) -> object:
    annotation: Any = info.annotation
    if get_origin(annotation) is tuple:
        lines = [line for line in text.splitlines() if line.strip()]
        return [part.strip() for part in ",".join(lines).split(",")]
    if annotation is bool:
        return _BOOLEANS.get(text, text)
    if annotation is int and not _INTEGER.fullmatch(text):
        return text
    with suppress(ValidationError):  # the model rejects a text that cannot be converted
        return TypeAdapter[object](annotation).validate_strings(text)
    return text


def _validate(context: Context, layers: Sequence[Layer]) -> tuple[Settings | None, list[str]]:
    try:
        merged = {"profile": context.profile} | _merged([values for _, values in layers])
        settings = Settings.model_validate(merged, context=context)
    except ValidationError as error:
        return None, [fault_of(details, layers) for details in error.errors()]
    return settings, faults_across_sections(settings, layers) if context.is_complete else []


def _merged(layers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Merge the layers key by key within each section; earlier ones override later ones."""
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        for section, keys in layer.items():
            below = merged.get(section)
            if isinstance(keys, dict) and isinstance(below, dict):
                merged[section] = below | keys
            else:
                merged[section] = keys
    return merged

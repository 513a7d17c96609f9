"""The host's side of the environment: what the platform does with app settings before the app can read them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

# The host *is* the platform here: settings reach the app through the environment and nothing else.
_ENVIRON = os.environ  # noqa: TID251 - the only reader in local/host, see the module docstring

_PLACEHOLDER = re.compile(r"%([^%]+)%")

# What a child process needs to run at all. Everything else (such as a developer's real storage account) stays out.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "USERPROFILE", "PYTHONPATH")


class SettingsError(Exception):
    """An app setting is missing or a settings file cannot be used; the message names it."""


def setting(name: str) -> str | None:
    return _ENVIRON.get(name) or None


def set_default(name: str, value: str) -> None:
    _ENVIRON.setdefault(name, value)


def apply_settings_file(path: Path) -> None:
    """Make `Values` of a local.settings.json environment variables unless they are set already, as Core Tools does."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"Cannot read the settings file {path}: {error}") from error
    if content.get("IsEncrypted"):
        raise SettingsError(f"{path} is encrypted; only plain settings files can be read.")
    for name, value in content.get("Values", {}).items():
        set_default(name, value if isinstance(value, str) else json.dumps(value))


def resolve(text: str) -> str:
    """Replace every `%NAME%` by the app setting NAME. Raises SettingsError when one is not set."""

    def value_of(match: re.Match[str]) -> str:
        value = setting(match[1])
        if value is None:
            raise SettingsError(f"'%{match[1]}%' does not resolve to a value: set the app setting {match[1]}.")
        return value

    return _PLACEHOLDER.sub(value_of, text)


def connection_string(connection: str) -> str:
    """The Storage connection string behind a trigger's `connection`. Raises SettingsError."""
    name = connection or "AzureWebJobsStorage"
    value = setting(name) or setting(f"AzureWebJobs{name}")
    if value is None:
        raise SettingsError(
            f"Storage connection string '{name}' does not exist. Set it as an app setting; "
            "identity-based connections only work in Azure."
        )
    return value


def is_disabled(function_name: str) -> bool:
    names = (f"AzureWebJobs.{function_name}.Disabled", f"AzureWebJobs_{function_name}_Disabled")
    return any((setting(name) or "").lower() in {"true", "1"} for name in names)


def child_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a host started by us: the bare necessities and `settings`."""
    return {name: _ENVIRON[name] for name in _INHERITED if name in _ENVIRON} | dict(settings)

# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading the host's configuration: one YAML file, checked as a whole before anything is done with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Union

from .config import SCHEMA_VERSION, Config
from .errors import ConfigError
from .utils.third_party import ValidationError, require_dependencies

DEFAULT_CONFIG_PATH = Path("/etc/vya-backupdb/config.yml")

# Migration N turns a document of schema version N into one of version N + 1.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def parse_config(document: object, source: str) -> Config:
    """Validate a configuration document.

    Args:
        document: What the YAML file held.
        source: What to call it in messages (its path).

    Raises:
        ConfigError: The document is no configuration, has errors, or is of a later schema version.
    """
    require_dependencies()
    if not isinstance(document, dict):
        raise ConfigError(
            f"{source} is not a configuration of vya-backupdb: it holds no mapping at its top level.",
            "Let the role vya.backupdb.config write it, or see its README for the format.",
        )
    version = document.get("schema_version", SCHEMA_VERSION)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ConfigError(f"{source}: schema_version {version!r} is not a positive whole number.")
    if version > SCHEMA_VERSION:
        raise ConfigError(
            f"{source} has schema version {version}, but this engine knows versions up to {SCHEMA_VERSION}.",
            "It was written for a newer engine: upgrade the engine by applying the role vya.backupdb.runtime.",
        )
    for step in range(version, SCHEMA_VERSION):
        document = MIGRATIONS[step](document)
    try:
        return Config.model_validate({**document, "schema_version": SCHEMA_VERSION})
    except ValidationError as exc:
        problems = "; ".join(_problem(error) for error in exc.errors())
        raise ConfigError(f"{source} cannot be used: {problems}.", "Correct it and apply the playbook again.") from None


def _problem(error: Any) -> str:
    """One validation error in words: where and what, never the offending value (it could be a misplaced secret)."""
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{where}: there is no such setting"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def load_config(path: Union[Path, str] = DEFAULT_CONFIG_PATH) -> Config:
    """Read and validate the configuration file.

    Raises:
        ConfigError: The file is missing, unreadable, no YAML, or not a valid configuration.
    """
    require_dependencies()
    import yaml

    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"There is no configuration at {path}.", "Apply the role vya.backupdb.config to this host."
        ) from None
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path} cannot be read: {reason}.", "Run as root or as the user vya-backupdb.") from None
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise ConfigError(f"{path} is not valid YAML{where}.", "Correct it and apply the playbook again.") from None
    return parse_config(document, str(path))

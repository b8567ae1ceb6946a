# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The one place where third-party names that are needed at import time enter the engine.

Where a library is absent the names become placeholders, so that every file of the collection can still be imported
(Ansible's import check does so on hosts without any library); using one of them then fails in
:func:`require_dependencies`, with a sentence that says what to install.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError

REQUIRED = ("cryptography", "isal", "prometheus_client", "psycopg", "pydantic", "pymysql", "sqlalchemy", "yaml")


class _AbsentType(type):
    """Makes a class that stands in for a missing name as a base class, decorator, function or namespace."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls


class Absent(metaclass=_AbsentType):
    """Stands in for any name of a library that is not installed."""


if TYPE_CHECKING:
    import typer
    from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
else:
    try:
        from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
    except ImportError:
        BaseModel = ConfigDict = Field = field_validator = model_validator = Absent
        ValidationError = ValueError
    try:
        import typer
    except ImportError:
        typer = Absent

__all__ = [
    "REQUIRED",
    "BaseModel",
    "ConfigDict",
    "Field",
    "ValidationError",
    "field_validator",
    "missing_dependencies",
    "model_validator",
    "require_dependencies",
    "typer",
]


def missing_dependencies() -> list[str]:
    """Return the import names of required libraries that this Python does not have."""
    return [name for name in REQUIRED if importlib.util.find_spec(name) is None]


def require_dependencies() -> None:
    """Refuse to work without the required libraries.

    Raises:
        ConfigError: A library is missing; the message names it and the role that installs it.
    """
    missing = missing_dependencies()
    if missing:
        raise ConfigError(
            f"The Python libraries {', '.join(missing)} are not installed.",
            "Apply the role vya.backupdb.runtime to this host; it installs the engine and its libraries.",
        )

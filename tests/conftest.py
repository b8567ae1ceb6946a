# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the engine importable as ``vya_backupdb`` from the checkout, as it is on a host."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parent.parent
ENGINE = REPOSITORY / "plugins" / "module_utils" / "_engine"
PACKAGE = "vya_backupdb"


def _load_engine() -> None:
    """Load the engine's directory under the package name that hosts know it by.

    The modules keep the file names of the checkout, so coverage and tracebacks point there.
    """
    spec = importlib.util.spec_from_file_location(
        PACKAGE, ENGINE / "__init__.py", submodule_search_locations=[str(ENGINE)]
    )
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{ENGINE} is not a package")
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)


_load_engine()

# Shared test machines are slow at times; a test that took long has not found a defect.
settings.register_profile("backupdb", deadline=None, print_blob=True)
settings.load_profile("backupdb")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def engine_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment for child processes, in which ``python -m vya_backupdb…`` finds the checkout's engine."""
    directory = tmp_path_factory.mktemp("engine")
    (directory / PACKAGE).symlink_to(ENGINE, target_is_directory=True)
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(directory), *([inherited] if inherited else [])])}

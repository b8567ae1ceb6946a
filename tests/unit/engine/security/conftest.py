# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of secrets share: a host in a directory of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from vya_backupdb.config import Config
from vya_backupdb.security import keys


@pytest.fixture(autouse=True)
def _no_credentials_of_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


@pytest.fixture
def machine_id(tmp_path: Path) -> Path:
    """A file with a machine id; the real one may be missing where tests run."""
    path = tmp_path / "machine-id"
    path.write_text("0123456789abcdef0123456789abcdef\n")
    return path


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A host's configuration whose secrets are to lie below the test's directory; the host key exists."""
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o711)
    config = Config(hostname="db1", key_file=secrets / "host.key", credentials_file=secrets / "credentials.json")
    assert keys.create_host_key(config.key_file)
    return config

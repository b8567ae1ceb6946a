# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Real Debian hosts with database servers, for tests."""

from __future__ import annotations

from .errors import FleetError, Interrupted
from .fleet import Fleet

__all__ = ["Fleet", "FleetError", "Interrupted"]

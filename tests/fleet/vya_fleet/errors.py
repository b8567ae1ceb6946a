# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The errors of the fleet; each message is one sentence that says what to do."""

from __future__ import annotations


class FleetError(Exception):
    """Something the caller can act upon; shown without a traceback."""


class Interrupted(BaseException):
    """A signal asked the tool to stop; a BaseException, so that no handler of errors swallows it."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by signal {signum}")
        self.signum = signum

# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The errors of the fleet; each message is one sentence that says what to do."""

from __future__ import annotations


class FleetError(Exception):
    """Something the caller can act upon; shown without a traceback."""


class UnusableMachineError(FleetError):
    """The machine lacks something that every fleet needs."""


class Interrupted(KeyboardInterrupt):
    """A signal asked to stop; a KeyboardInterrupt, so that pytest winds down as it does for Ctrl-C."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by signal {signum}")
        self.signum = signum

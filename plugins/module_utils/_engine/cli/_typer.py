# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Typer, or a placeholder where it is not installed.

Apart from ``utils.third_party``, whose database libraries would make ``--help`` wait for half a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer
else:
    try:
        import typer
    except ImportError:
        from ..utils.third_party import Absent

        typer = Absent

__all__ = ["typer"]

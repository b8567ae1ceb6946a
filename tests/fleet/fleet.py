#!/usr/bin/env python3
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Entry point of the test fleet; see README.md."""

import sys

from vya_fleet.cli import main

if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env bash
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Runs all molecule scenarios of a role, and ends their hosts also if it is interrupted.
#
# Usage: scripts/molecule.sh ROLE

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../roles/$1"
trap 'molecule destroy --all >/dev/null 2>&1 || true' EXIT
trap 'exit 130' INT TERM HUP
molecule test --all

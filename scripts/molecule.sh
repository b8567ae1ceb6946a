#!/usr/bin/env bash
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Runs all molecule scenarios of a role, and ends their hosts also if it is interrupted.
#
# Usage: scripts/molecule.sh ROLE

set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository/roles/$1"

destroy() {
    molecule destroy --scenario-name "$scenario" >/dev/null 2>&1 || true
}

trap 'exit 130' INT TERM HUP
for definition in molecule/*/molecule.yml; do
    scenario=$(basename "$(dirname "$definition")")
    # By default it is named after the role alone, and the runs of two checkouts would get into each other's way.
    export MOLECULE_EPHEMERAL_DIRECTORY=$repository/.build/molecule/$1-$scenario
    trap destroy EXIT
    molecule test --scenario-name "$scenario"
    trap - EXIT
done

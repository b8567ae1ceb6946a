#!/usr/bin/env bash
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Prepares a test host for the comparison: the engine and its libraries in one environment, the other tools in another.
# borgmatic needs borg, which the distribution has.

set -euo pipefail

# Ansible's collections are some ten thousand files of which a handful is used, so nothing is compiled ahead.
install_into() {
    python3 -m venv "$1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile --no-index --find-links "$2" \
        --require-hashes --requirement "$3"
}

install_into /opt/tests /wheels /checkout/tests/integration/requirements.txt &
ours=$!
install_into /opt/others /wheels-comparison /checkout/tests/comparison/requirements.txt &
others=$!
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update >/dev/null
apt-get -qqy install --no-install-recommends borgbackup >/dev/null
mkdir -p /opt/ours
ln -sfn /checkout/plugins/module_utils/_engine /opt/ours/vya_backupdb
wait "$ours"
wait "$others"

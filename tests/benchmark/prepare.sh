#!/usr/bin/env bash
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Prepares a test host for the benchmark: the engine in an environment of its own, as the role makes it, and the
# alternatives that the distribution and the package index have. What cannot be had is left out of the comparison.

set -euo pipefail

engine=/opt/vya-backupdb
alternatives=/opt/alternatives

export DEBIAN_FRONTEND=noninteractive
apt-get -qq update >/dev/null 2>&1 || echo "prepare: the package lists could not be refreshed"
# --no-remove: what comes with MariaDB's libraries, as mydumper does, would take the place of a server of MySQL.
for package in pigz zstd mydumper borgbackup borgmatic; do
    apt-get -qqy install --no-install-recommends --no-remove "$package" >/dev/null 2>&1 ||
        echo "prepare: no $package for this host"
done
if compgen -G '/packages/*.deb' >/dev/null; then
    apt-get -qqy install --no-install-recommends /packages/*.deb >/dev/null
fi

python3 -m venv "$engine"
"$engine/bin/pip" install --quiet --disable-pip-version-check --no-index --find-links /wheels --require-hashes \
    --requirement /checkout/roles/runtime/files/requirements.txt
"$engine/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-index /results/vya_backupdb-*.whl

if [ "${1:-}" = with-ansible ]; then
    python3 -m venv "$alternatives"
    "$alternatives/bin/pip" install --quiet --disable-pip-version-check ansible pymysql psycopg2-binary ||
        rm -rf "$alternatives"
fi

#!/usr/bin/env bash
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Prepares a machine and this checkout for the quickstart and the tests; does nothing if nothing is missing.
#
#   packages of the distribution
#   .venv                 the tools of requirements-test.txt
#   .build/wheels         what database hosts install, for each of their Pythons
#   .build/wheels-tests   what the tests on those hosts need beyond that
#   .build/wheels-comparison   with "comparison" as an argument: the tools that are compared
#   .build/collections    this checkout, where Ansible looks for collections
#
# apt and pip are used as this machine has them configured.

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$PWD/.build
host_pythons=(3.11 3.13 3.14)

say() { echo "setup: $*" >&2; }
die() {
    say "$*"
    exit 2
}

((EUID == 0)) || die "This boots test hosts and needs root; run it again with sudo."
command -v apt-get >/dev/null || die "This needs Debian 12 or later (or a recent Ubuntu); this machine has no apt-get."

# One at a time in a checkout. The directory keeps itself out of git.
mkdir -p "$build"
echo '*' >"$build/.gitignore"
exec 9>"$build/.lock"
flock 9

install_packages() {
    local missing=() package
    for package in age ca-certificates git openssh-client python3 python3-venv shellcheck; do
        [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    if ((${#missing[@]})); then
        say "installing ${missing[*]}"
        export DEBIAN_FRONTEND=noninteractive
        apt-get -o DPkg::Lock::Timeout=300 -qq update
        apt-get -o DPkg::Lock::Timeout=300 -qqy install --no-install-recommends "${missing[@]}" >"$build/apt.log" 2>&1 ||
            die "apt-get could not install them: $(tail -n 3 "$build/apt.log")"
    fi
    python3 tests/fleet/fleet.py doctor --install >"$build/doctor.log" 2>&1 || die "$(tail -n 3 "$build/doctor.log")"
}

# The distribution's Python if it is new enough, else the first in the path that is.
find_python() {
    local candidate
    for candidate in /usr/bin/python3 python3 python3.{13,12,11}; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    die "There is no Python 3.11 or later with its venv module; Debian 12 or later has one."
}

# Runs pip with its output in a log of that name: it warns of every index that lacks what another has.
pip() {
    local log=$build/$1.log
    .venv/bin/python -m pip --disable-pip-version-check "${@:2}" >"$log" 2>&1 ||
        die "pip $2 failed: $(grep ERROR "$log" || tail -n 5 "$log")"
}

# Whether a directory was completed with this content of its ingredients; forgets it if not.
is_current() {
    [ "$(cat "$1/.complete" 2>/dev/null)" = "$2" ] && return
    rm -rf "$1"
    return 1
}

make_environment() {
    local python=$1 ingredients
    ingredients="$(readlink -f "$python") $("$python" --version) $(sha256sum <requirements-test.txt)"
    if is_current .venv "$ingredients" && .venv/bin/python -c ''; then return; fi
    say "installing the tools of requirements-test.txt into .venv"
    rm -rf .venv
    "$python" -m venv .venv
    pip tools install --require-hashes --only-binary :all: --requirement requirements-test.txt
    echo "$ingredients" >.venv/.complete
}

download_wheels() {
    local directory=$build/$1 requirements=$2 pythons=("${@:3}") ingredients python job jobs=()
    ingredients="${pythons[*]} $(sha256sum <"$requirements")"
    if is_current "$directory" "$ingredients"; then return; fi
    say "downloading wheels of $requirements for Python ${pythons[*]}"
    mkdir "$directory"
    for python in "${pythons[@]}"; do
        pip "$1-$python" download --require-hashes --only-binary :all: --python-version "$python" \
            --dest "$directory/$python" --requirement "$requirements" &
        jobs+=($!)
    done
    for job in "${jobs[@]}"; do
        wait "$job"
    done
    for python in "${pythons[@]}"; do
        mv -f "$directory/$python"/*.whl "$directory"
        rmdir "$directory/$python"
    done
    echo "$ingredients" >"$directory/.complete"
}

install_packages
make_environment "$(find_python)"
download_wheels wheels roles/runtime/files/requirements.txt "${host_pythons[@]}"
if [ -f tests/integration/requirements.txt ]; then
    download_wheels wheels-tests tests/integration/requirements.txt "${host_pythons[@]}"
fi
if [ "${1:-}" = comparison ]; then
    download_wheels wheels-comparison tests/comparison/requirements.txt 3.13 3.14 # the newest ansible needs 3.12
fi
mkdir -p "$build/collections/ansible_collections/vya"
ln -sfn "$PWD" "$build/collections/ansible_collections/vya/backupdb"

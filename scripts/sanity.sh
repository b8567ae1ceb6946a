#!/usr/bin/env bash
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Runs "ansible-test sanity" on the collection as it is installed from its built artifact, without any ignore file.
#
# Usage: scripts/sanity.sh [OPTION OR TEST OF ansible-test sanity ...]
#
# Needs ansible-core, git, shellcheck, Python 3.11 or later with its venv module, and a package index for pip. The tools of the single tests are installed once, into ${XDG_CACHE_HOME:-~/.cache}/vya-backupdb/sanity.
# The environment variable PYTHON may name the Python whose ansible-core is used.

set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vya-backupdb/sanity
python=${PYTHON:-$(command -v python3)}

# The tests run on every Python that is found. The stand-ins of version managers are found too, but do not all work.
search=$(dirname "$python")
while read -r -d : directory; do
    works=true
    for candidate in "$directory"/python3.[0-9]*; do
        case $candidate in *-config | *\**) continue ;; esac
        "$candidate" -c "" 2>/dev/null || works=false
    done
    if $works; then search+=:$directory; fi
done <<<"$PATH:"
export PATH=$search

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# ansible-test hides the environment from pip, and wants to download pip from a server of its own. So the settings of
# this machine's pip become a file in a home directory made for ansible-test, and the pip that is here does the work.
export_pip_settings() {
    mkdir -p "$cache/.config/pip" "$cache/.ansible/test/cache"
    "$python" - "$cache" <<'PYTHON'
import ast
import re
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

home = Path(sys.argv[1])
settings = RawConfigParser()
for line in subprocess.run(
    [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
).stdout.splitlines():
    name, _, value = line.partition("=")
    section, _, key = name.rpartition(".")
    section = "global" if section == ":env:" else section
    if not settings.has_section(section):
        settings.add_section(section)
    settings.set(section, key, ast.literal_eval(value).replace("\n", "\n    "))
with open(home / ".config" / "pip" / "pip.conf", "w", encoding="utf-8") as stream:
    settings.write(stream)

import ansible_test._internal.python_requirements as requirements

version = re.search(r"pip='([0-9.]+)'", Path(requirements.__file__).read_text("utf-8"))
(home / ".ansible" / "test" / "cache" / f"get_pip_{version[1].replace('.', '_')}.py").write_text(
    "import subprocess, sys\n"
    "packages = [word for word in sys.argv[1:] if word not in ('--no-setuptools', '--no-wheel')]\n"
    f"pip = [{sys.executable!r}, '-m', 'pip', '--python', sys.executable]\n"
    "sys.exit(subprocess.call([*pip, 'install', '--quiet', *packages]))\n",
    encoding="utf-8",
)
PYTHON
}

export_pip_settings

ansible-galaxy collection build "$repository" --output-path "$work" >/dev/null
ANSIBLE_COLLECTIONS_PATH=$work ansible-galaxy collection install --offline --no-deps -p "$work" "$work"/vya-backupdb-*.tar.gz >/dev/null
cd "$work/ansible_collections/vya/backupdb"

if [ -n "$(find tests -name 'ignore-*.txt' 2>/dev/null)" ]; then
    echo "The artifact holds files of ignored problems; correct the problems instead." >&2
    exit 1
fi

# Some tests look only at files that git knows.
git init --quiet .
git add --all

HOME=$cache ansible-test sanity --color no "$@"

# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of the benchmark that runs on the test host, as root, with the distribution's own Python."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bench import cases_mysql, cases_postgresql, engine_parts
from bench.case import DATABASE, Part
from bench.elsewhere import GZIP, NULL
from bench.measure import run_script
from bench.ours import DEFAULT, ENGINE, VARIANTS, Installation, backup_cases, pipeline_case, table_case
from bench.runner import Runner
from bench.servers import MySql, Server, all_servers

WORK = Path("/var/tmp/benchmark")
PARTS = ("backup", "restore", "small", "overhead", "memory")
_VERSIONS = ("gzip", "pigz", "zstd", "mydumper", "borg", "borgmatic", "/opt/alternatives/bin/ansible")


def say(line: str) -> None:
    """Say how far things are."""
    sys.stdout.write(f"{datetime.now(timezone.utc):%H:%M:%S} {line}\n")
    sys.stdout.flush()


def facts(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the figures depend on."""
    cpu = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = next(line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    system = next(line.partition("=")[2].strip('"') for line in _lines("/etc/os-release") if "PRETTY_NAME" in line)
    return {
        "began": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": cpu[0] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory": int(memory) * 1024,
        "kernel": platform.release(),
        "system": system,
        "python": platform.python_version(),
        "engine": _output(str(ENGINE / "vya-backupdb"), "--version").split()[-1],
        "load": os.getloadavg(),
        "programs": {Path(name).name: _output(name, "--version").splitlines()[0] for name in _VERSIONS if _there(name)},
        "settings": vars(args),
    }


def _there(program: str) -> bool:
    return shutil.which(program) is not None


def _output(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
    return done.stdout.strip() or done.stderr.strip() or "unknown"


def _lines(path: str) -> list[str]:
    return Path(path).read_text("utf-8").splitlines()


def run_server(server: Server, args: argparse.Namespace, parts: list[dict[str, Any]], save: Any) -> None:
    """Run all parts that are wanted on one server; results are added as they come."""
    work = WORK / server.name
    work.mkdir(parents=True)
    runner = Runner(server, args.runs, say)
    dump = server.dump if isinstance(server, MySql) else "pg_dump"

    def add(part: dict[str, Any], *notes: str) -> None:
        parts.append({**part, "notes": notes})
        save()

    if {"backup", "restore", "memory"} & set(args.parts):
        say(f"{server.version}: building {args.size / 1e6:.0f} MB")
        server.build(DATABASE, args.size)
    if {"backup", "restore"} & set(args.parts):
        module: Any = cases_mysql if isinstance(server, MySql) else cases_postgresql
        cases = module.other_cases(work, server)
        cases += [pipeline_case(work, f"{dump} {DATABASE}"), *backup_cases(work, server)]
        texts = args.only.split(";")
        chosen = tuple(c for c in cases if c.name in (NULL, GZIP) or any(text in c.name for text in texts))
        run_script(f"{dump} {DATABASE} > /dev/null")  # the page cache is warm for all
        plain = int(_output("bash", "-c", f"{dump} {DATABASE} | wc -c"))
        title = f"backup of {plain / 1e6:.0f} MB of SQL"
        done = runner.part(Part("backup", title, chosen, {NULL: "null", GZIP: "gzip"}))
        add(done | {"plain_bytes": plain})
        if "restore" in args.parts:
            more = (table_case(work, server),) if any(case.name == f"ours, {DEFAULT}" for case in chosen) else ()
            add(runner.restores(chosen, done, more))
    if "memory" in args.parts:
        sizes = [size for size in (args.size // 100, args.size // 10) if size >= 1_000_000]
        add(engine_parts.memory(work, server, (args.size, *sizes)))
    server.drop(DATABASE)
    ours = Installation(work / "ours-small", server, VARIANTS[DEFAULT])
    if "small" in args.parts:
        names = [f"small_{number:05d}" for number in range(args.many)]
        say(f"{server.version}: building {len(names)} small databases")
        server.build_small(names)
        add(runner.part(engine_parts.many_small(work, dump, ours, names), proof=False))
        for name in names:
            server.drop(name)
    if "overhead" in args.parts:
        server.build_small([engine_parts.TINY])
        notes = [*engine_parts.import_profile(), *engine_parts.import_memory()]
        add(runner.part(engine_parts.overhead(work, dump, ours), proof=False), *notes)


def main() -> int:
    """Run the benchmark and write its results; 0 if no case is invalid."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--many", type=int, required=True)
    parser.add_argument("--dbms", default="")
    parser.add_argument("--only", default="")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    shutil.rmtree(WORK, ignore_errors=True)
    document: dict[str, Any] = {"facts": facts(args), "dbms": []}

    def save() -> None:
        Path(args.output).write_text(json.dumps(document, indent=1), "utf-8")

    for server in all_servers():
        if args.dbms in ("", server.name):
            entry: dict[str, Any] = {"name": server.name, "description": "", "parts": []}
            document["dbms"].append(entry)
            server.prepare()
            entry["description"] = server.version
            run_server(server, args, entry["parts"], save)
    save()
    return 1 if any(r["invalid"] for d in document["dbms"] for p in d["parts"] for r in p["results"]) else 0


if __name__ == "__main__":
    sys.exit(main())

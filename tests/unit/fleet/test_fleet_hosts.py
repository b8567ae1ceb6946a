# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What decides a base root, and what a host is given."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from vya_fleet import bases, cgroups, cli, machine, processes, ssh, state
from vya_fleet.errors import FleetError, Interrupted
from vya_fleet.fleet import Fleet

RECIPE = bases.Recipe("trixie", ("b", "a"), ("deb http://m.test/debian trixie main",), (), "certificates")


def record(name: str = "demo", **kwargs: object) -> state.FleetRecord:
    """A fleet of two hosts that exists on paper only."""
    hosts = [
        state.HostRecord("db1", "trixie", "10.201.3.2", "trixie-0"),
        state.HostRecord("db2", "sid", "10.201.3.3", "sid-0"),
    ]
    made = state.FleetRecord(name, "10.201.3.0/24", os.getpid(), processes.start_time(os.getpid()) or "", hosts=hosts)
    return dataclasses.replace(made, **kwargs)


def test_a_base_is_named_by_suite_and_content() -> None:
    assert RECIPE.key.startswith("trixie-")
    assert dataclasses.replace(RECIPE, packages=("a", "b")).key == RECIPE.key


@pytest.mark.parametrize(
    "change",
    [
        {"suite": "sid"},
        {"packages": ("a",)},
        {"sources": ("deb http://other.test/debian trixie main",)},
        {"options": ('Acquire::Retries "3";',)},
        {"certificates": "others"},
    ],
)
def test_any_change_of_the_recipe_makes_another_base(change: dict[str, str]) -> None:
    assert dataclasses.replace(RECIPE, **change).key != RECIPE.key


def test_another_version_of_the_builder_makes_another_base(monkeypatch: pytest.MonkeyPatch) -> None:
    before = RECIPE.key
    monkeypatch.setattr(bases, "BUILD_VERSION", bases.BUILD_VERSION + 1)
    assert RECIPE.key != before


def test_unknown_suite() -> None:
    with pytest.raises(FleetError, match="choose one of bullseye, bookworm, trixie, sid"):
        Fleet("demo", {"db1": "woody"})


@pytest.mark.parametrize("name", ["", "A", "../x", "a b", "-a", "a-", "a" * 49])
def test_names_that_would_not_do_as_host_names(name: str) -> None:
    with pytest.raises(FleetError, match="lower-case"):
        Fleet(name)


def test_ssh_config_touches_nothing_of_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VYA_FLEET_DIR", str(tmp_path))
    fleet = record()
    fleet.save()
    ssh.write_access_files(fleet, {"db1": "ssh-ed25519 AAAA1 db1", "db2": "ssh-ed25519 AAAA2 db2"})
    done = subprocess.run(["ssh", "-G", "-F", fleet.directory / "ssh_config", "db2"], capture_output=True, text=True)
    options = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert options["hostname"] == "10.201.3.3"
    assert options["user"] == "root"
    assert options["identityfile"] == f"{fleet.directory}/id_ed25519"
    assert options["userknownhostsfile"] == f"{fleet.directory}/known_hosts"
    assert options["globalknownhostsfile"] == "/dev/null"
    assert options["stricthostkeychecking"] == "true"
    known = (fleet.directory / "known_hosts").read_text(encoding="ascii")
    assert known == "db1,10.201.3.2 ssh-ed25519 AAAA1\ndb2,10.201.3.3 ssh-ed25519 AAAA2\n"


def test_inventory_is_what_ansible_reads() -> None:
    yaml = pytest.importorskip("yaml")
    inventory = yaml.safe_load(ssh.render_inventory(record()))["all"]
    assert inventory["children"]["database_hosts"]["hosts"]["db2"] == {
        "ansible_host": "10.201.3.3",
        "fleet_suite": "sid",
        "fleet_engines": ["mysql", "postgresql"],
    }
    assert inventory["vars"]["ansible_python_interpreter"] == "/usr/bin/python3"
    assert inventory["vars"]["ansible_ssh_common_args"].startswith("-F /")


def test_a_remote_shell_reads_nothing_in_a_command() -> None:
    assert ssh.command(record(), "db1", ["echo", "$(id) 'x'"])[-1] == "echo '$(id) '\"'\"'x'\"'\"''"


def test_records_survive_writing_and_reading(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VYA_FLEET_DIR", str(tmp_path))
    fleet = record(state=str(tmp_path), binds=["--bind-ro=/a:/b"])
    fleet.save()
    assert state.all_fleets() == [fleet]
    with pytest.raises(FleetError, match="no fleet 'other'"):
        state.load("other")


def test_an_owner_lives_only_with_its_start_time() -> None:
    assert record().owner_alive
    assert not record(owner_start="1").owner_alive
    with subprocess.Popen(["sleep", "60"]) as child:
        started = processes.start_time(child.pid)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert started
        assert processes.start_time(child.pid) is None, "a zombie is not alive"


def test_pip_settings_keep_what_a_host_can_reach() -> None:
    environ = {"PIP_CONFIG_FILE": "/dev/null", "PIP_DEFAULT_TIMEOUT": "30", "PIP_FIND_LINKS": "/wheels"}
    settings = machine.machine_pip_settings(environ)
    settings |= {"index-url": "https://i.test/simple", "extra-index-url": "file:///here https://e.test/simple"}
    assert machine.pip_conf(settings).splitlines() == [
        "[global]",
        f"cert = {machine.CA_BUNDLE}",
        "disable-pip-version-check = true",
        "index-url = https://i.test/simple",
        "extra-index-url = https://e.test/simple",
        "timeout = 30",
    ]


def test_a_resolver_on_the_loopback_is_replaced() -> None:
    stub, behind = "# stub\nnameserver 127.0.0.53\nsearch x.test\n", "nameserver 192.0.2.53\n"
    assert machine.resolv_conf(stub, behind) == behind
    assert machine.resolv_conf("nameserver 192.0.2.1\n\n", behind) == "nameserver 192.0.2.1\n"


def test_certificates_that_only_the_machine_has() -> None:
    def pem(body: str) -> str:
        return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"

    assert machine.added_certificates(f"# x\n{pem('one')}{pem('two')}", pem("one")) == [pem("two")]


def test_cgroup_trees() -> None:
    hybrid = (
        "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"
        "cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n"
        "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
    )
    assert cgroups.hierarchies(hybrid) == [Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/systemd")]
    assert cgroups.hierarchies("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n") == [Path("/sys/fs/cgroup")]
    with pytest.raises(FleetError, match="cgroup v2"):
        cgroups.hierarchies("tmpfs /run tmpfs rw 0 0\n")


def test_a_cancelled_runner_kills_and_starts_nothing_more() -> None:
    runner = processes.Processes()
    with pytest.raises(FleetError, match="did not end within"):
        runner.run(["sleep", "60"], output=subprocess.DEVNULL, timeout=0.1)
    runner.cancel()
    with pytest.raises(FleetError, match="stopped"):
        runner.run(["true"], output=subprocess.DEVNULL, timeout=5)


def test_a_signal_becomes_an_exception_except_while_cleaning_up() -> None:
    script = (
        "import os, signal; from vya_fleet.processes import stopping_by_signal, undisturbed\n"
        "from vya_fleet.errors import Interrupted\n"
        "try:\n"
        "    with stopping_by_signal():\n"
        "        with undisturbed(): os.kill(os.getpid(), signal.SIGTERM); print('cleaned')\n"
        "        os.kill(os.getpid(), signal.SIGTERM); print('not reached')\n"
        "except Interrupted as stop: print(stop.signum)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env)
    assert done.stdout.split() == ["cleaned", "15"]
    assert issubclass(Interrupted, KeyboardInterrupt)


@pytest.mark.parametrize("arguments", [["up", "--fleet", "x", "--host", "db1"], ["up", "--fleet", "x", "--bind", "/a"]])
def test_malformed_pairs_end_in_one_sentence(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VYA_FLEET_DIR", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert cli.main(arguments) == cli.EXIT_FAILED
    assert "is not of the form" in capsys.readouterr().err


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cli.main(["list"]) == cli.EXIT_UNUSABLE
    assert "needs root" in capsys.readouterr().err

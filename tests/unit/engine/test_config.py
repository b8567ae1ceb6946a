# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration: what can be meant is understood, what cannot is refused with a sentence."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from vya_backupdb.config import Config, Policy, Schedule, json_schema, parse_duration
from vya_backupdb.config_file import load_config, parse_config
from vya_backupdb.errors import ConfigError

MINIMAL: dict[str, Any] = {
    "schema_version": 1,
    "hostname": "wfdb02",
    "instances": [{"database_id": "prod-mysql-01", "dbms": "mariadb"}],
    "policies": [{"name": "nightly", "schedule": {"times": ["02:00"]}}],
}


def changed(**changes: Any) -> Config:
    return parse_config({**MINIMAL, **changes}, "config.yml")


def instance(**changes: Any) -> dict[str, Any]:
    return {"database_id": "x", "dbms": "postgresql", **changes}


def policy(**changes: Any) -> dict[str, Any]:
    return {"name": "p", **changes}


def test_defaults_are_those_of_the_design() -> None:
    config = changed()
    nightly = config.policy("nightly")
    assert (nightly.retention.daily, nightly.retention.weekly, nightly.retention.monthly) == (7, 4, 12)
    assert config.storage.root == Path("/var/backups/vya-backupdb")
    assert nightly.schedule is not None
    assert nightly.schedule.catch_up is True


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"polices": []}, "polices: there is no such setting"),
        ({"schema_version": 2}, "has schema version 2, but this engine knows versions up to 1"),
        ({"schema_version": "one"}, "is not a positive whole number"),
        ({"schema_version": True}, "is not a positive whole number"),
        ({"hostname": "../etc"}, "hostname: may hold letters"),
        ({"storage": {"root": "backups"}}, "must be an absolute path"),
        ({"instances": [instance(database_id="a/b")]}, "may hold letters, digits"),
        ({"instances": [instance(dbms="oracle")]}, "instances.0.dbms"),
        ({"instances": [instance(host="h", socket="/s")]}, "either host or socket"),
        ({"instances": [instance(port=0)]}, "instances.0.port"),
        ({"instances": [instance(), instance()]}, "database_id 'x' is there twice"),
        ({"policies": [policy(), policy()]}, "policy 'p' is there twice"),
        ({"policies": [policy(name="No Spaces")]}, "names a systemd unit"),
        ({"policies": [policy(instances=["elsewhere"])]}, "names the instance 'elsewhere', which is not configured"),
        ({"policies": [policy(retention={"daily": 0, "weekly": 0, "monthly": 0})]}, "would delete every backup"),
        ({"policies": [policy(retention={"timezone": "Mars/Olympus"})]}, "not a time zone known"),
        ({"policies": [policy(compression={"level": 10})]}, "gzip has the levels 1 to 9, and auto"),
        ({"policies": [policy(compression={"algorithm": "zstd", "level": 20})]}, "zstd has the levels 1 to 19"),
        ({"policies": [policy(checksums=["md5"])]}, "must hold sha256, and each name once"),
        ({"policies": [policy(checksums=["sha256", "crc32"])]}, "checksums"),
        ({"policies": [policy(limits={"timeout": "soon"})]}, "'soon' is not a duration"),
        ({"policies": [policy(schedule={})]}, "exactly one of times, interval and cron"),
        ({"policies": [policy(schedule={"times": ["02:00"], "cron": "0 2 * * *"})]}, "exactly one of"),
        ({"policies": [policy(schedule={"times": ["25:00"]})]}, "'25:00' is not a time of day"),
        ({"policies": [policy(schedule={"times": ["02:00"], "days": []})]}, "without days never runs"),
        ({"policies": [policy(schedule={"times": ["02:00"], "timezone": "Mars/Olympus"})]}, "not a time zone known"),
        ({"policies": [policy(schedule={"interval": "10s"})]}, "below one minute"),
        ({"policies": [policy(schedule={"cron": "0 0 30 2 *"})]}, "policies.0.schedule"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        changed(**changes)
    assert message in str(refused.value)
    assert str(refused.value).startswith("config.yml")
    assert "\n" not in str(refused.value)


def test_a_misplaced_secret_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as refused:
        changed(instances=[instance(password="hunter2", port="hunter2")])
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "There is no configuration at"),
        (b"a: [", "is not valid YAML (line"),
        (b"- a list", "holds no mapping"),
        (b"", "holds no mapping"),
        (b"\xff\xfe", "it is not UTF-8 text"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: bytes | None, message: str) -> None:
    path = tmp_path / "config.yml"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(ConfigError) as refused:
        load_config(path)
    assert message in str(refused.value)


def test_a_file_is_read(tmp_path: Path) -> None:
    # An unquoted 14:30 is a number to YAML 1.1, 02:30 is not.
    path = tmp_path / "config.yml"
    path.write_text("hostname: h\npolicies: [{name: p, schedule: {times: [02:30, 14:30, 14:30:15, '23:00']}}]\n")
    schedule = load_config(path).policy("p").schedule
    assert schedule is not None
    assert schedule.times == ("02:30", "14:30", "14:30:15", "23:00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2d", 172800), (45, 45), (1.5, 1.5), (timedelta(hours=1), 3600)],
)
def test_durations(value: object, seconds: float) -> None:
    assert parse_duration(value) == timedelta(seconds=seconds)


@pytest.mark.parametrize("value", ["", "1w", "-5m", "m", True, None])
def test_no_durations(value: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(value)


def test_policies_cover_what_they_include_and_do_not_exclude() -> None:
    shop = Policy(name="p", instances=("prod-*",), include=("shop_*", "crm"), exclude=("*_tmp",))
    assert shop.covers_instance("prod-1")
    assert not shop.covers_instance("test-1")
    assert shop.covers_database("shop_eu")
    assert shop.covers_database("crm")
    assert not shop.covers_database("shop_tmp")
    assert not shop.covers_database("CRM")
    config = changed(policies=[policy(include=["a*"], retention={"daily": 3})])
    assert config.policy_of("prod-mysql-01", "abc").retention.daily == 3
    assert config.policy_of("prod-mysql-01", "xyz").name == "default"


def test_what_is_not_configured_is_named_with_what_is() -> None:
    with pytest.raises(ConfigError, match="Configured: prod-mysql-01"):
        changed().instance("other")
    with pytest.raises(ConfigError, match="Configured: nightly"):
        changed().policy("other")


@pytest.mark.parametrize(
    ("changes", "mode"),
    [
        ({}, "disabled"),
        ({"socket": "/run/x.sock"}, "disabled"),
        ({"host": "localhost"}, "disabled"),
        ({"host": "127.0.0.1"}, "disabled"),
        ({"host": "::1"}, "disabled"),
        ({"host": "db.example.com"}, "verify"),
        ({"host": "10.0.0.5"}, "verify"),
        ({"host": "db.example.com", "tls": {"mode": "encrypt"}}, "encrypt"),
        ({"tls": {"mode": "verify"}}, "verify"),
    ],
)
def test_what_leaves_the_machine_is_verified_by_default(changes: dict[str, Any], mode: str) -> None:
    assert changed(instances=[instance(**changes)], policies=[]).instances[0].tls_mode == mode


def test_the_schema_is_json_schema() -> None:
    schema = json.loads(json_schema())
    assert schema["additionalProperties"] is False
    assert "policies" in schema["properties"]


def test_a_schedule_stays_as_it_was_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Schedule(times=("02:00",)).times = ()  # type: ignore[misc]


AGE = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
SSH = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN somebody at home"


def test_recipients_are_public_keys() -> None:
    def policy(*recipients: str, **more: object) -> dict[str, object]:
        return {"policies": [{"name": "p", "encryption": {"recipients": list(recipients)}, **more}]}

    config = parse_config(policy(AGE, SSH), "c")
    assert config.policy("p").encryption is not None
    secret = "AGE-SECRET-KEY-1" + "Q" * 58
    for wrong in (secret, AGE[:-1], AGE + "\n", "--output=/etc/passwd", "ssh-dss AAAA", SSH + "\nssh-rsa x", ""):
        with pytest.raises(ConfigError, match=r"encryption.recipients: number 2 is no public key") as refused:
            parse_config(policy(AGE, wrong), "c")
        assert secret not in str(refused.value)
    with pytest.raises(ConfigError, match=r"encryption.recipients"):
        parse_config(policy(), "c")


def test_the_identity_is_named_by_an_absolute_path() -> None:
    assert parse_config({"age_identity_file": "/root/key"}, "c").age_identity_file == Path("/root/key")
    assert parse_config({}, "c").age_identity_file is None
    with pytest.raises(ConfigError, match="age_identity_file: must be an absolute path"):
        parse_config({"age_identity_file": "key"}, "c")


@pytest.mark.parametrize(
    ("asked", "named"),
    [({"encryption": {"recipients": [AGE]}}, "encryption"), ({"limits": {"bandwidth": "1MiB"}}, "limits.bandwidth")],
)
def test_what_passes_through_us_is_refused_where_the_client_writes_itself(asked: dict[str, Any], named: str) -> None:
    both = [instance(database_id="pg", dbms="postgresql"), instance(database_id="my", dbms="mysql")]
    with pytest.raises(ConfigError, match=f"has the strategy parallel and {named}, and covers the instance 'pg'"):
        changed(instances=both, policies=[policy(strategy="parallel", **asked)])
    config = changed(instances=both, policies=[policy(instances=["my"], strategy="parallel", **asked)])
    assert config.policy("p").strategy == "parallel"
    assert (
        changed(instances=both, policies=[policy(strategy="parallel", limits={"jobs": 4})]).policy("p").limits.jobs == 4
    )

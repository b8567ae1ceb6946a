# Copyright (c) Vya.Digital and the vya.backupdb contributors
# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's configuration: what is backed up, when, how, and for how long.

Unknown keys are errors, so that a misspelt ``exlude`` does not silently back up too much or too little.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import json
import re
import socket
from datetime import timedelta
from pathlib import Path
from typing import Literal, Optional, Union, get_args
from zoneinfo import ZoneInfo

from .config_values import absolute_path, bytes_of, parse_duration, time_of_day
from .core.calendar import calendar_expressions
from .errors import ConfigError
from .utils.third_party import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
    require_dependencies,
)

SCHEMA_VERSION = 1

_WRITES_ITSELF = "postgresql"  # whose client writes what several processes dump
_LEAST_BANDWIDTH = 64 * 1024
_LONGEST_STALL = timedelta(days=24)  # poll(2) takes milliseconds as an int
_LEAST_MEMORY = 64 * 1024**2
_RECIPIENT = re.compile(r"age1[02-9ac-hj-np-z]{58}|ssh-(?:ed25519|rsa) [A-Za-z0-9+/]{32,}={0,2}(?: [^\r\n]*)?")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Section(BaseModel):
    """Base of every section: unknown keys are refused, values are fixed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Storage(Section):
    """Where artifacts are kept: ``{root}/{hostname}/{database_id}/{database}/YYYY-MM-DD/``.

    A dump that is expected to leave less than ``reserve`` of the disk free (``64MiB``, ``2GB`` or ``5%``) is not begun.
    """

    root: Path = Path("/var/backups/vya-backupdb")
    reserve: str = "64MiB"

    _absolute = field_validator("root")(absolute_path)

    @field_validator("reserve", mode="before")
    @classmethod
    def _size(cls, value: object) -> object:
        text = f"{value}B" if isinstance(value, int) and not isinstance(value, bool) else str(value)
        bytes_of(text, 0)
        return text

    def reserved_bytes(self, total: int) -> int:
        """Return how many bytes of a disk of that size are to stay free."""
        return bytes_of(self.reserve, total)


class Tls(Section):
    """Transport security towards a server.

    ``auto`` verifies the certificate and the host name for TCP to another machine and uses none on sockets and
    loopback; ``verify`` does so always; ``encrypt`` encrypts without verifying; ``disabled`` sends everything in clear.
    """

    mode: Literal["auto", "verify", "encrypt", "disabled"] = "auto"
    ca_file: Optional[Path] = None


class Instance(Section):
    """One database server, named by its ``database_id``."""

    database_id: str
    dbms: Literal["mariadb", "mysql", "postgresql"]
    host: Optional[str] = None
    port: Optional[int] = Field(default=None, ge=1, le=65535)
    socket: Optional[Path] = None
    credentials: Optional[str] = Field(default=None, description="Entry of the credentials file; database_id if unset.")
    tls: Tls = Tls()
    max_dumps: Optional[int] = Field(default=None, ge=1, description="Of it at a time, whoever makes them.")

    @field_validator("database_id")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not _NAME.match(value):
            raise ValueError("may hold letters, digits, '_', '.' and '-' only, and starts with a letter or digit")
        return value

    @model_validator(mode="after")
    def _host_or_socket(self) -> Instance:
        if self.host and self.socket:
            raise ValueError(f"instance {self.database_id}: give either host or socket, not both")
        return self

    @property
    def credentials_id(self) -> str:
        """Name of the entry in the credentials file that opens this instance."""
        return self.credentials or self.database_id

    @property
    def is_local(self) -> bool:
        """Whether the connection stays on this machine (a socket or a loopback address)."""
        if self.host is None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def tls_mode(self) -> Literal["verify", "encrypt", "disabled"]:
        """The transport security in force, ``auto`` resolved."""
        if self.tls.mode == "auto":
            return "disabled" if self.is_local else "verify"
        return self.tls.mode


class Schedule(Section):
    """When a policy runs: either ``times`` (on ``days``), or an ``interval``, or a ``cron`` expression.

    ``window`` spreads hosts over that much time after the planned moment, by a delay that is random but stays the same
    for a host; ``retries`` and ``retry_delay`` say what follows a failed run.
    """

    days: tuple[Weekday, ...] = get_args(Weekday)
    times: tuple[str, ...] = ()
    timezone: str = "UTC"
    interval: Optional[timedelta] = None
    cron: Optional[str] = None
    window: timedelta = timedelta(0)
    catch_up: bool = True
    retries: int = Field(default=2, ge=0, le=20)
    retry_delay: timedelta = timedelta(minutes=10)

    @field_validator("interval", "window", "retry_delay", mode="before")
    @classmethod
    def _duration(cls, value: object) -> object:
        return value if value is None else parse_duration(value)

    @field_validator("times", mode="before")
    @classmethod
    def _time_texts(cls, value: object) -> object:
        # YAML 1.1 reads an unquoted 14:00 as the number 840 (base 60), so such numbers are turned back.
        if isinstance(value, (list, tuple)):
            return tuple(time_of_day(each) if isinstance(each, int) else each for each in value)
        return value

    @field_validator("times")
    @classmethod
    def _valid_times(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?", text):
                raise ValueError(f"{text!r} is not a time of day; write for example '02:30'")
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, KeyError) as exc:
            raise ValueError(f"{value!r} is not a time zone known on this host (package tzdata)") from exc
        return value

    @model_validator(mode="after")
    def _possible(self) -> Schedule:
        given = [name for name in ("times", "interval", "cron") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"a schedule needs exactly one of times, interval and cron, not {given or 'none'}")
        if not self.days:
            raise ValueError("a schedule without days never runs")
        if self.interval is not None and self.interval < timedelta(minutes=1):
            raise ValueError("an interval below one minute cannot be kept")
        self.calendar_expressions()
        return self

    def calendar_expressions(self) -> list[str]:
        """Return the schedule as values of systemd's ``OnCalendar=``, none for an interval that has no such form.

        Raises:
            ValueError: The schedule contradicts itself or never comes true.
        """
        return calendar_expressions(
            days=self.days, times=self.times, timezone=self.timezone, interval=self.interval, cron=self.cron
        )


class Compression(Section):
    """How artifacts are compressed: ``gzip`` takes the levels 1 (fast) to 9 (small), ``zstd`` 1 to 19.

    With the level ``auto`` each part gets the highest that does not slow the dump down.
    """

    algorithm: Literal["gzip", "zstd", "none"] = "gzip"
    level: Union[int, Literal["auto"]] = 1

    @model_validator(mode="after")
    def _known_level(self) -> Compression:
        highest = {"gzip": 9, "zstd": 19, "none": 19}[self.algorithm]
        if self.level != "auto" and not 1 <= self.level <= highest:
            raise ValueError(f"{self.algorithm} has the levels 1 to {highest}, and auto")
        return self


class Encryption(Section):
    """Encryption of artifacts with age: who holds the private key of any of the recipients can read them.

    Recipients are public keys as ``age-keygen`` (``age1…``) or ``ssh-keygen`` (``ssh-ed25519 …``, ``ssh-rsa …``) show
    them. Backups need nothing else; private keys belong to where restores are made from.
    """

    recipients: tuple[str, ...] = Field(min_length=1)

    @field_validator("recipients")
    @classmethod
    def _public_keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, text in enumerate(value, 1):
            if not _RECIPIENT.fullmatch(text):  # never shown: it may be a private key
                raise ValueError(f"number {number} is no public key; write age1…, ssh-ed25519 … or ssh-rsa …")
        return value


class Retention(Section):
    """Grandfather-father-son retention, for each database by itself: how many days, weeks and months are kept.

    Days, weeks (ISO 8601, from Monday) and months are those of ``timezone``. The newest artifact of each is kept.
    Nothing is removed while the newest artifact holds less than ``shrink_threshold`` of what those before it held (a
    fraction; 0: never mind).
    """

    daily: int = Field(default=7, ge=0)
    weekly: int = Field(default=4, ge=0)
    monthly: int = Field(default=12, ge=0)
    timezone: str = "UTC"
    shrink_threshold: float = Field(default=0.5, ge=0, lt=1)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        return Schedule._known_zone(value)  # the same rule and the same sentence

    @model_validator(mode="after")
    def _keeps_something(self) -> Retention:
        if not (self.daily or self.weekly or self.monthly):
            raise ValueError("a retention that keeps nothing would delete every backup; keep at least one")
        return self


class Verification(Section):
    """When artifacts are read back: checksum, decompression, structure, and the end of the dump.

    ``after_backup`` reads each new artifact, and a damaged one is a failed backup. ``before_retention`` reads those
    that are to stay and have not been read yet before any other is removed. ``schedule`` reads all of them by a timer.
    ``content_checksums`` has each backup read the tables once more in the server, so that a drill can tell that no row
    is missing and no value other than it was there.
    """

    after_backup: bool = False
    content_checksums: bool = False
    before_retention: bool = True
    schedule: Optional[Schedule] = None


class HoldBack(Section):
    """When a server is too busy to be dumped: a backup waits for it, up to ``wait``, and then fails or is made anyhow.

    ``running`` is the highest number of statements at work in the server, those of running dumps included;
    ``replication_lag`` the longest time that it may be behind, or, of PostgreSQL, any of its standbys behind it. Unset:
    never mind.
    """

    running: Optional[int] = Field(default=None, ge=1)
    replication_lag: Optional[timedelta] = None
    wait: timedelta = timedelta(minutes=30)
    then: Literal["fail", "proceed"] = "fail"

    @field_validator("replication_lag", "wait", mode="before")
    @classmethod
    def _duration(cls, value: object) -> object:
        return value if value is None else parse_duration(value)

    @property
    def wanted(self) -> bool:
        """Whether a server is to be asked at all how busy it is."""
        return self.running is not None or self.replication_lag is not None


class Limits(Section):
    """Bounds on a run: databases at a time, time for one database, and time without a byte from the dump.

    ``jobs`` is how many processes load one database at a time, and by the strategy ``parallel`` also dump it.
    ``bandwidth`` is how many bytes a second a run reads from its dump clients, all together (``50MiB``). The weights
    (systemd's ``CPUWeight=`` and ``IOWeight=``, 1 to 10000, 100 is usual) and ``nice`` are for runs by a timer.
    """

    parallel: int = Field(default=2, ge=1, le=64)
    jobs: int = Field(default=2, ge=1, le=64)
    timeout: timedelta = timedelta(hours=12)
    stall_timeout: timedelta = Field(default=timedelta(minutes=15), le=_LONGEST_STALL)
    bandwidth: Optional[str] = None
    cpu_weight: Optional[int] = Field(default=None, ge=1, le=10000)
    io_weight: Optional[int] = Field(default=None, ge=1, le=10000)
    nice: int = Field(default=10, ge=0, le=19)
    hold_back: HoldBack = HoldBack()

    @field_validator("timeout", "stall_timeout", mode="before")
    @classmethod
    def _duration(cls, value: object) -> object:
        return parse_duration(value)

    @field_validator("bandwidth")
    @classmethod
    def _enough(cls, value: Optional[str]) -> Optional[str]:
        # Servers give up on a client that takes nothing for a minute.
        if value is not None and bytes_of(value, 0) < _LEAST_BANDWIDTH:
            raise ValueError(
                f"{value!r} is no rate that a dump can be made at; write for example 50MiB, at least 64KiB"
            )
        return value

    @property
    def bytes_per_second(self) -> Optional[int]:
        """The bandwidth as a number."""
        return None if self.bandwidth is None else bytes_of(self.bandwidth, 0)


class Policy(Section):
    """When, what, how and how long: the unit that a timer runs. Patterns are shell-style (``shop_*``).

    The strategy ``logical`` has one client dump a database into one file of SQL, ``parallel`` has ``limits.jobs`` of
    them dump it at once: those of MySQL and MariaDB into one file, too, those of PostgreSQL into a directory.
    """

    name: str
    instances: tuple[str, ...] = ("*",)
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    schedule: Optional[Schedule] = None
    strategy: Literal["logical", "parallel"] = "logical"
    compression: Compression = Compression()
    encryption: Optional[Encryption] = None
    checksums: tuple[Literal["sha256", "md5"], ...] = ("sha256",)
    retention: Retention = Retention()
    verification: Verification = Verification()
    limits: Limits = Limits()

    @field_validator("checksums")
    @classmethod
    def _always_sha256(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "sha256" not in value or len(set(value)) != len(value):
            raise ValueError("must hold sha256, and each name once")
        return value

    @field_validator("name")
    @classmethod
    def _unit_name(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", value):
            raise ValueError("may hold lower-case letters, digits, '_' and '-' only (it names a systemd unit)")
        return value

    def covers_instance(self, database_id: str) -> bool:
        """Whether this policy speaks of the instance."""
        return any(fnmatch.fnmatchcase(database_id, pattern) for pattern in self.instances)

    def covers_database(self, database: str) -> bool:
        """Whether this policy includes the database and does not exclude it."""
        included = any(fnmatch.fnmatchcase(database, pattern) for pattern in self.include)
        return included and not any(fnmatch.fnmatchcase(database, pattern) for pattern in self.exclude)


class Mail(Section):
    """Mail after a run: successes to some addresses, failures to others. Passwords are in the credentials file."""

    server: str
    port: int = Field(default=25, ge=1, le=65535)
    security: Literal["none", "starttls", "tls"] = "starttls"
    credentials: Optional[str] = None
    sender: str
    on_success: tuple[str, ...] = ()
    on_failure: tuple[str, ...] = ()


class Drill(Section):
    """Drills: artifacts are loaded into a scratch server on this host and compared with what their manifests say.

    By the timer of ``schedule``, databases take turns such that each is proven within ``every_days``. The scratch
    server lives in ``directory`` (below the state directory if unset) and gets ``memory`` for its caches.
    """

    every_days: int = Field(default=30, ge=1)
    schedule: Optional[Schedule] = None
    directory: Optional[Path] = None
    memory: str = "256MiB"

    _absolute = field_validator("directory")(absolute_path)

    @field_validator("memory")
    @classmethod
    def _enough(cls, value: str) -> str:
        if bytes_of(value, 0) < _LEAST_MEMORY:
            raise ValueError(f"{value!r} is too little for a server; write for example 256MiB, at least 64MiB")
        return value

    @property
    def memory_bytes(self) -> int:
        """The memory as a number."""
        return bytes_of(self.memory, 0)


class Notifications(Section):
    """Who is told of a run's end."""

    mail: Optional[Mail] = None


class Metrics(Section):
    """Where the metrics go: a directory that node_exporter's textfile collector reads. Unset: no metrics."""

    textfile_directory: Optional[Path] = None


class Config(Section):
    """The whole configuration of one host."""

    schema_version: int = SCHEMA_VERSION
    hostname: str = Field(default_factory=socket.gethostname)
    storage: Storage = Storage()
    state_directory: Path = Path("/var/lib/vya-backupdb")
    credentials_file: Path = Path("/etc/vya-backupdb/.secrets/credentials.json")
    key_file: Path = Path("/etc/vya-backupdb/.secrets/host.key")
    age_identity_file: Optional[Path] = Field(default=None, description="Decrypts artifacts; backups need none.")
    instances: tuple[Instance, ...] = ()
    policies: tuple[Policy, ...] = ()
    notifications: Notifications = Notifications()
    metrics: Metrics = Metrics()
    drill: Drill = Drill()
    max_dumps: Optional[int] = Field(default=None, ge=1, description="On this host at a time, whoever makes them.")

    @field_validator("hostname")
    @classmethod
    def _path_component(cls, value: str) -> str:
        if not _NAME.match(value):
            raise ValueError("may hold letters, digits, '_', '.' and '-' only")
        return value

    _absolute = field_validator("age_identity_file")(absolute_path)

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        for kind, names in (
            ("database_id", [instance.database_id for instance in self.instances]),
            ("policy", [policy.name for policy in self.policies]),
        ):
            for name in sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{kind} {name!r} is there twice")
        for policy in self.policies:
            for pattern in policy.instances:
                matched = any(fnmatch.fnmatchcase(instance.database_id, pattern) for instance in self.instances)
                if pattern != "*" and not matched:
                    raise ValueError(f"policy {policy.name!r} names the instance {pattern!r}, which is not configured")
            if policy.strategy == "parallel":
                self._refuse_what_does_not_pass_through_us(policy)
        return self

    def _refuse_what_does_not_pass_through_us(self, policy: Policy) -> None:
        asked = [
            name
            for name, value in (("encryption", policy.encryption), ("limits.bandwidth", policy.limits.bandwidth))
            if value is not None
        ]
        for instance in self.instances:
            if asked and instance.dbms == _WRITES_ITSELF and policy.covers_instance(instance.database_id):
                raise ValueError(
                    f"policy {policy.name!r} has the strategy parallel and {' and '.join(asked)}, and covers the"
                    f" instance {instance.database_id!r}: the client of PostgreSQL writes the files of a directory"
                    " itself, unencrypted and as fast as it can; give that instance a policy with the strategy logical"
                )

    @property
    def scratch_directory(self) -> Path:
        """Where scratch servers live."""
        return self.drill.directory or self.state_directory / "scratch"

    def instance(self, database_id: str) -> Instance:
        """Return the instance of that ``database_id``.

        Raises:
            ConfigError: It is not configured; the message lists those that are.
        """
        for instance in self.instances:
            if instance.database_id == database_id:
                return instance
        known = ", ".join(sorted(i.database_id for i in self.instances)) or "none"
        raise ConfigError(f"No instance {database_id!r} is configured on this host.", f"Configured: {known}.")

    def policy(self, name: str) -> Policy:
        """Return the policy of that name.

        Raises:
            ConfigError: It is not configured; the message lists those that are.
        """
        for policy in self.policies:
            if policy.name == name:
                return policy
        known = ", ".join(sorted(p.name for p in self.policies)) or "none"
        raise ConfigError(f"No policy {name!r} is configured on this host.", f"Configured: {known}.")

    def policy_of(self, database_id: str, database: str) -> Policy:
        """Return the first policy that covers the database, else one made of the defaults."""
        for policy in self.policies:
            if policy.covers_instance(database_id) and policy.covers_database(database):
                return policy
        return Policy(name="default")


def json_schema() -> str:
    """Return the configuration's JSON Schema as text."""
    require_dependencies()
    return json.dumps(Config.model_json_schema(), indent=2)

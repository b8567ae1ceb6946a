# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Lets the kernel ask before chosen system calls of a process are made (seccomp's user notification).

Every host that runs systemd has libseccomp, which knows the numbers of the calls on each architecture.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass

_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # ioctl numbers of linux/seccomp.h
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")  # id, thread, flags, call, architecture, instruction, six arguments
_ANSWER = struct.Struct("=QqiI")  # id, value, error, flags
_CONTINUE = 1
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000  # libseccomp's actions
_MASKED_EQUAL = 7


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


@dataclass(frozen=True)
class Call:
    """A system call that is about to be made: its identity, the thread that makes it, its name and arguments."""

    identity: int
    thread: int
    name: str
    arguments: tuple[int, ...]


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
    return library


@functools.cache
def _name(number: int) -> str:
    return bytes(_library().seccomp_syscall_resolve_num_arch(0, number)).decode()


def install(calls: Mapping[str, tuple[int, ...]], flag_arguments: Mapping[str, int]) -> int:
    """Let the kernel ask before these calls of this process, and of all it starts; return the descriptor it asks on.

    Args:
        calls: Names of calls; those with flags only where one of the flags is set.
        flag_arguments: Which argument of a call holds its flags.
    """
    library = _library()
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ALLOW)))
    for name, flags in calls.items():
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:  # this architecture has only the newer form of it
            continue
        for flag in flags:
            condition = _Comparison(flag_arguments[name], _MASKED_EQUAL, flag, flag)
            _checked(library.seccomp_rule_add_array(context, _NOTIFY, number, 1, ctypes.byref(condition)), name)
        if not flags:
            _checked(library.seccomp_rule_add_array(context, _NOTIFY, number, 0, None), name)
    _checked(library.seccomp_load(context), "seccomp_load")
    return int(_checked(library.seccomp_notify_fd(context), "seccomp_notify_fd"))


def _checked(code: int, what: str) -> int:
    if code < 0:
        raise OSError(-code, f"{what}: {os.strerror(-code)}")
    return code


def receive(descriptor: int) -> Call | None:
    """Return the call that is asked about; None if whoever wanted to make it is dead by now."""
    notification = bytearray(_NOTIFICATION.size)
    try:
        fcntl.ioctl(descriptor, _RECEIVE, notification)
    except OSError:
        return None
    identity, thread, _flags, number, _architecture, _pointer, *arguments = _NOTIFICATION.unpack(notification)
    return Call(identity, thread, _name(number), tuple(arguments))


def let_pass(descriptor: int, call: Call) -> None:
    """Let a call be made."""
    with contextlib.suppress(OSError):  # whoever wanted to make it is dead by now
        fcntl.ioctl(descriptor, _SEND, _ANSWER.pack(call.identity, 0, 0, _CONTINUE))

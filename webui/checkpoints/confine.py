"""Takes a process's right to reach anything: no network, no program started, nothing opened for writing.

Two barriers. An audit hook of Python works everywhere and stops Python code; on Linux a seccomp filter stops
the system calls themselves, whatever makes them. What was open before stays open: a confined process writes
to the files that it was given.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
REFUSED_EVENTS = (
    "socket.",
    "subprocess.",
    "shutil.",
    "ctypes.",
    "os.",
)  # beginnings of names of audit events
ALLOWED_EVENTS = frozenset(
    {"os.listdir", "os.scandir", "os.walk", "os.fwalk", "os.listxattr", "os.getxattr", "os.add_dll_directory"}
)


class Calls(NamedTuple):
    """System calls of a machine. `refused`: always; `opening`: (number, which argument has the flags), when
    the flags say writing."""

    audit: int  # its number in linux/audit.h
    refused: tuple[int, ...]
    opening: tuple[tuple[int, int], ...]


# socket connect accept sendto sendmsg bind listen socketpair accept4 sendmmsg | fork vfork execve execveat
# kill ptrace process_vm_writev bpf io_uring_setup | creat openat2 open_by_handle_at rename* mkdir* rmdir
# link* unlink* symlink* mknod* truncate chmod* chown* *xattr utime* mount
CALLS = MappingProxyType(
    {
        "x86_64": Calls(
            0xC000003E,
            (41, 42, 43, 44, 46, 49, 50, 53, 288, 307)
            + (57, 58, 59, 322, 62, 101, 311, 321, 425)
            + (85, 437, 304, 82, 264, 316, 83, 258, 84, 86, 265, 87, 263, 88, 266, 133, 259, 76)
            + (90, 91, 268, 452, 92, 93, 94, 260, 188, 189, 190, 197, 198, 199, 132, 235, 261, 280, 165),
            ((2, 1), (257, 2)),
        ),
        "aarch64": Calls(
            0xC00000B7,
            (198, 203, 202, 206, 211, 200, 201, 199, 242, 269)
            + (221, 281, 129, 117, 271, 280, 425)
            + (437, 265, 38, 276, 34, 37, 35, 36, 33, 45)
            + (52, 53, 452, 54, 55, 5, 6, 7, 14, 15, 16, 88, 40),
            ((56, 2),),
        ),
    }
)


def confine() -> bool:
    """Confines this process for good. True if the system itself enforces it, False if Python alone does. To
    be called after everything is imported."""
    enforced = _filter_calls()
    sys.addaudithook(_refuse)
    return enforced


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        _, mode, flags = (*arguments, None, None)[:3]
        if (isinstance(mode, str) and set(mode) & set("wax+")) or (
            isinstance(flags, int) and flags & WRITING
        ):
            raise PermissionError("A confined process opens nothing for writing.")
    elif event.startswith(REFUSED_EVENTS) and event not in ALLOWED_EVENTS:
        raise PermissionError(f"A confined process may not do this ({event}).")


# -- seccomp -------------------------------------------------------------------------------------------------

LOAD, EQUAL, ANY_OF, AT_LEAST, RETURN = 0x20, 0x15, 0x45, 0x35, 0x06  # instructions of the filter's machine
ALLOW, REFUSE = 0x7FFF0000, 0x00050001  # REFUSE: the call fails with EPERM
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # places in struct seccomp_data
OTHER_ABI = 0x40000000  # added to the numbers of x86's third set of calls


def _filter_calls() -> bool:
    calls = CALLS.get(platform.machine()) if sys.platform == "linux" and sys.byteorder == "little" else None
    if calls is None:
        return False
    program = _program(calls)
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *one) for one in program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))

    given = Program(len(program), ctypes.addressof(code))
    prctl = ctypes.CDLL(None).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    no_new_privileges, set_seccomp, filtered = 38, 22, 2
    if prctl(no_new_privileges, 1, 0, 0, 0) != 0:
        return False
    return prctl(set_seccomp, filtered, ctypes.addressof(given), 0, 0) == 0


def _program(calls: Calls) -> Sequence[tuple[int, int, int, int]]:
    """The filter: (instruction, steps if true, steps if false, value) each."""
    refuse = [(RETURN, 0, 0, REFUSE)]
    program = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, calls.audit), *refuse]
    program += [(LOAD, 0, 0, NUMBER), (AT_LEAST, 0, 1, OTHER_ABI), *refuse]
    for number in calls.refused:
        program += [(EQUAL, 0, 1, number), *refuse]
    for number, argument in calls.opening:
        flags = [(LOAD, 0, 0, ARGUMENTS + 8 * argument), (ANY_OF, 0, 1, WRITING), *refuse]
        program += [(EQUAL, 0, len(flags) + 1, number), *flags, (RETURN, 0, 0, ALLOW)]
    return [*program, (RETURN, 0, 0, ALLOW)]

"""System calls that a learner's process is refused, as the filter program that bubblewrap loads (``--seccomp``).

Refused are the doors to memory that no limit of a process counts (SysV and POSIX message queues, shared memory,
memfd, sockets but for pairs, pages and open files that are sent away, queues of file events), locks on files that
other submissions see, new processes (threads are allowed), namespaces and mounts, and looking into other processes. The
filter is classic BPF, a dozen kinds of instruction; libseccomp's Python bindings would be a dependency that is built
from source.
System call numbers are the kernel's published ABI.
"""

from __future__ import annotations

import errno
import platform
import struct

__all__ = ["ARCHITECTURES", "filter_program"]

_COMMON = {"clone3": 435, "memfd_secret": 447, "io_uring_setup": 425, "open_tree": 428, "move_mount": 429}
_COMMON |= {"fsopen": 430, "fsmount": 432, "fspick": 433, "statmount": 457, "listmount": 458}
_X86_64 = {"shmget": 29, "clone": 56, "fork": 57, "vfork": 58, "semget": 64, "msgget": 68, "ptrace": 101}
_X86_64 |= {"pivot_root": 155, "mount": 165, "umount2": 166, "mq_open": 240, "add_key": 248, "request_key": 249}
_X86_64 |= {"keyctl": 250, "unshare": 272, "perf_event_open": 298, "name_to_handle_at": 303, "open_by_handle_at": 304}
_X86_64 |= {"setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "memfd_create": 319, "bpf": 321}
_X86_64 |= {"userfaultfd": 323, "socket": 41, "sendmsg": 46, "sendmmsg": 307, "flock": 73, "inotify_init": 253}
_X86_64 |= {"splice": 275, "tee": 276, "vmsplice": 278, "inotify_init1": 294, "fanotify_init": 300}
_AARCH64 = {"umount2": 39, "mount": 40, "pivot_root": 41, "unshare": 97, "ptrace": 117, "mq_open": 180, "msgget": 186}
_AARCH64 |= {"semget": 190, "shmget": 194, "add_key": 217, "request_key": 218, "keyctl": 219, "clone": 220}
_AARCH64 |= {"perf_event_open": 241, "name_to_handle_at": 264, "open_by_handle_at": 265, "setns": 268}
_AARCH64 |= {"process_vm_readv": 270, "process_vm_writev": 271, "memfd_create": 279, "bpf": 280, "userfaultfd": 282}
_AARCH64 |= {"inotify_init1": 26, "flock": 32, "vmsplice": 75, "splice": 76, "tee": 77, "socket": 198, "sendmsg": 211}
_AARCH64 |= {"fanotify_init": 262, "sendmmsg": 269}

ARCHITECTURES = {
    "x86_64": (0xC000003E, _COMMON | _X86_64),
    "aarch64": (0xC00000B7, _COMMON | _AARCH64),
}
"""By machine: the audit number of the architecture, and what is refused."""

_CLONE_THREAD = 0x00010000
_X32_BIT = 0x40000000
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000


def filter_program(machine: str | None = None) -> bytes | None:
    """Return the filter for a machine (default: this one), None if its numbers are not known here."""
    known = ARCHITECTURES.get(machine or platform.machine())
    if known is None:
        return None
    architecture, refused = known
    plain = sorted(number for name, number in refused.items() if name not in ("clone", "clone3"))
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL_PROCESS),  # another calling convention, whose numbers mean something else
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_AT_LEAST, len(plain) + 5, 0, _X32_BIT),
        *((_JUMP_EQUAL, len(plain) - at + 4, 0, number) for at, number in enumerate(plain)),
        (_JUMP_EQUAL, 5, 0, refused["clone3"]),
        (_JUMP_EQUAL, 1, 0, refused["clone"]),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_SET, 2, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),  # the C library falls back to clone, whose flags can be read
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("<HBBI", *each) for each in program)

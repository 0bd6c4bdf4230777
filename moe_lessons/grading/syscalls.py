"""System calls that a worker must not make: a filter for the kernel, in the form that bubblewrap hands on.

Forbidden is what a namespace does not hold back: keys of the user who marks, sockets that lead out of the machine, and
memory that belongs to no process, so that nobody sees it grow.
"""

import struct

INSTRUCTION = struct.Struct("=HBBI")  # code, lines to skip if it holds, lines to skip if not, value
LOAD, IS, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # where they lie in what the kernel shows of a call
ALLOW, DENY = 0x7FFF0000, 0x00050001  # DENY: the call fails with EPERM
X32 = 1 << 30  # from here on, the numbers of a second set of calls
MOST_FAMILY = 16  # of sockets: local, Internet, netlink. Beyond are virtual machines' hosts, ciphers, radios

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
SOCKET = {"x86_64": 41, "aarch64": 198}
FORBIDDEN = {
    "add_key": {"x86_64": 248, "aarch64": 217},
    "request_key": {"x86_64": 249, "aarch64": 218},
    "keyctl": {"x86_64": 250, "aarch64": 219},
    "memfd_create": {"x86_64": 319, "aarch64": 279},
    "memfd_secret": {"x86_64": 447, "aarch64": 447},
    "shmget": {"x86_64": 29, "aarch64": 194},
    "semget": {"x86_64": 64, "aarch64": 190},
    "msgget": {"x86_64": 68, "aarch64": 186},
    "mount": {"x86_64": 165, "aarch64": 40},
    "fsopen": {"x86_64": 430, "aarch64": 430},
    "io_uring_setup": {"x86_64": 425, "aarch64": 425},  # it makes calls that no filter sees
}


def program(machine: str) -> bytes:
    """Return the filter for a kind of machine, as `platform.machine` names it. Raises ValueError for an unknown one.

    Source: the kernel's Documentation/userspace-api/seccomp_filter.rst.
    """
    if machine not in ARCHITECTURES:
        raise ValueError(f"which system calls to forbid is not known for {machine}, only for {[*ARCHITECTURES]}")
    out = None  # a jump to the last line
    lines = [
        (LOAD, 0, 0, ARCHITECTURE),
        (IS, 0, out, ARCHITECTURES[machine]),
        (LOAD, 0, 0, NUMBER),
        (AT_LEAST, out, 0, X32),
        *((IS, out, 0, numbers[machine]) for numbers in FORBIDDEN.values()),
        (IS, 0, 2, SOCKET[machine]),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (AT_LEAST, out, 0, MOST_FAMILY + 1),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, DENY),
    ]
    last = len(lines) - 1
    jumps = [[last - 1 - i if jump is out else jump for jump in line[1:3]] for i, line in enumerate(lines)]
    return b"".join(INSTRUCTION.pack(code, *jump, value) for (code, *_, value), jump in zip(lines, jumps, strict=True))

"""The filter of system calls, run by a small machine of the test's own; test_sandbox has the kernel run it."""

import struct

import pytest

from moe_lessons.grading import syscalls

ALLOWED, REFUSED = 0x7FFF0000, 0x00050001
OTHER = {"x86_64": {"read": 0, "mmap": 9, "clone": 56, "fork": 57}, "aarch64": {"read": 63, "mmap": 222, "clone": 220}}


def verdict(program, architecture, number, first=0):
    """Run a filter as the kernel's documents say: one register, jumps forward only."""
    call = struct.pack("=IIQQ", number, architecture, 0, first)
    lines, at, register = list(struct.iter_unpack("=HBBI", program)), 0, 0
    while True:
        code, if_so, if_not, value = lines[at]
        at += 1
        if code == 0x06:
            return value
        if code == 0x20:
            (register,) = struct.unpack_from("=I", call, value)
        else:
            at += if_so if {0x15: register == value, 0x35: register >= value}[code] else if_not


@pytest.fixture(params=list(syscalls.ARCHITECTURES))
def machine(request):
    return request.param


@pytest.fixture
def said(machine):
    def verdict_here(number, first=0, architecture=syscalls.ARCHITECTURES[machine]):
        return verdict(syscalls.program(machine), architecture, number, first)

    return verdict_here


def test_what_is_forbidden_is_refused_and_all_else_allowed(said, machine):
    forbidden = {numbers[machine] for numbers in syscalls.FORBIDDEN.values()}
    assert len(forbidden) == len(syscalls.FORBIDDEN)
    assert forbidden.isdisjoint(OTHER[machine].values())
    for number in range(500):
        assert said(number) == (REFUSED if number in forbidden else ALLOWED), number


def test_calls_of_another_set_are_refused(said, machine):
    assert said(0, architecture=0x40000003) == REFUSED  # i386
    assert said(1 << 30) == REFUSED  # x32


def test_sockets_are_refused_by_their_family(said, machine):
    families = {1: ALLOWED, 2: ALLOWED, 10: ALLOWED, 16: ALLOWED, 17: REFUSED, 40: REFUSED, 2**32 - 1: REFUSED}
    assert {family: said(syscalls.SOCKET[machine], family) for family in families} == families
    assert said(OTHER[machine]["read"], 40) == ALLOWED  # the control: of other calls it is no family


def test_an_unknown_machine_has_no_filter():
    with pytest.raises(ValueError, match="not known for abacus"):
        syscalls.program("abacus")

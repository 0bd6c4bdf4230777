"""Submissions that want to read or write what is not theirs."""

from hostile import FULL, answering, honest, kind
from moe_lessons.grading.records import Ended

OK = Ended.OK
ONLY_SECOND = (0, 2)


@kind(OK, FULL, "raised FileNotFoundError")
def writes_outside_its_folder(place):
    return honest(f"open({str(place.outside / 'written')!r}, 'w').write('x')")


@kind(OK, FULL)
def writes_outside_at_exit(place):
    path = str(place.outside / "atexit")
    return honest(f"import atexit\natexit.register(lambda: open({path!r}, 'w').write('x'))")


@kind(OK, FULL, "raised")
def writes_into_the_package(place):
    return honest(
        "import moe_lessons, pathlib\n(pathlib.Path(moe_lessons.__file__).parent / 'hostile.txt').write_text('x')"
    )


@kind(OK, FULL, "raised")
def writes_into_the_environment(place):
    return honest("import sys, pathlib\n(pathlib.Path(sys.prefix) / 'hostile.txt').write_text('x')")


@kind(OK, ONLY_SECOND, "FileNotFoundError")
def reads_anothers_submission(place):
    return answering(f"raise ValueError(open({str(place.neighbour)!r}).read())")


@kind(OK, ONLY_SECOND)
def reads_the_secret_of_the_checks(place):
    return answering("""
import os
found = []
for pid in filter(str.isdigit, os.listdir('/proc')):
    for name in ('environ', 'cmdline'):
        try:
            found.append(open(f'/proc/{pid}/{name}').read())
        except OSError as error:
            found.append(str(error))
raise ValueError(str(os.environ) + ' '.join(found))
""")


@kind(OK, ONLY_SECOND)
def reads_the_secret_through_the_parents_descriptors(place):
    return answering("""
import os
for fd in os.listdir('/proc/1/fd'):
    print(os.readlink(f'/proc/1/fd/{fd}'))
    raise ValueError(open(f'/proc/1/fd/{fd}').read())
""")


@kind(OK, ONLY_SECOND, "Error")
def uses_the_network(place):
    return answering(
        f"import socket\nsocket.create_connection(('127.0.0.1', {place.port}), timeout=1)\nreturn x @ weight.T + bias"
    )


@kind(OK, ONLY_SECOND, "errno 1")
def looks_for_the_keys_of_the_user(place):
    """By `keyctl`: search the keyring of the session, then that of the user, read what is found."""
    return answering("""
import ctypes, platform
lib = ctypes.CDLL(None, use_errno=True)
keyctl = {"x86_64": 250, "aarch64": 219}[platform.machine()]
found = []
for ring in (-3, -4):
    key = lib.syscall(keyctl, 10, ring, b"user", b"moe-lessons-test", 0)
    text = ctypes.create_string_buffer(100)
    lib.syscall(keyctl, 11, key, text, 100, 0)
    found.append(f"{text.value} errno {ctypes.get_errno()}")
raise ValueError(found)
""")


@kind(OK, FULL)
def becomes_root_again(place):
    path = str(place.outside / "root")
    become = "import os\ntry:\n    os.setuid(0)\nexcept OSError:\n    pass\n"
    return honest(f"{become}os.system('mount -o remount,rw / ; chroot /proc/1/root touch {path}')")


@kind(OK, FULL, "raised ValueError")
def asks_for_more_than_its_limits(place):
    return honest(
        "import resource\nfor n in (resource.RLIMIT_AS, resource.RLIMIT_CPU):\n    resource.setrlimit(n, (-1, -1))"
    )


@kind(OK, FULL)
def a_link_in_its_folder_to_another(place):
    return honest(f"import os\nos.symlink({str(place.neighbour)!r}, 'link')\nos.symlink('/', 'root')")

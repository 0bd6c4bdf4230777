"""Submissions that do not end, or end what they should not, or take more than there is."""

from hostile import CHECKS, FULL, LOGITS, PROTOTYPE, SETUP, answering, honest, kind
from moe_lessons.grading.records import Ended

OK, PARTIAL, TIMED_OUT, KILLED = Ended.OK, Ended.PARTIAL, Ended.TIMED_OUT, Ended.KILLED
ONLY_SECOND = (0, 2)


@kind(TIMED_OUT, FULL, "cell 3 was stopped after")
def endless_loop_at_top_level(place):
    return honest("while True: pass")


@kind(TIMED_OUT, FULL, "all of it was run but what stands in line 3")
def endless_loop_beside_a_definition(place):
    return [SETUP, f"{LOGITS}\nwhile True: pass", PROTOTYPE, CHECKS]


@kind(OK, ONLY_SECOND, "a loop that does not end")
def endless_loop_in_an_answer(place):
    return answering("while True: pass")


@kind(OK, ONLY_SECOND, "a loop that does not end")
def bare_except_around_everything(place):
    return answering("while True:\n    try:\n        sum(range(10))\n    except:\n        pass")


@kind(TIMED_OUT, ONLY_SECOND, "the answer to 1.1 was stopped")
def endless_c_call_in_an_answer(place):
    return answering("import itertools\nsum(itertools.repeat(0))")


@kind(TIMED_OUT, FULL)
def endless_c_call_at_top_level(place):
    return honest("import itertools\nsum(itertools.repeat(0))")


@kind(TIMED_OUT, ONLY_SECOND)
def signals_ignored_in_an_endless_loop(place):
    ignore = "import signal\nfor n in signal.valid_signals() - {9, 19}:\n    signal.signal(n, signal.SIG_IGN)"
    return answering(f"{ignore}\nwhile True: pass")


@kind(TIMED_OUT, ONLY_SECOND)
def sleep_in_an_answer(place):
    return answering("import time\ntime.sleep(1e6)")


@kind(TIMED_OUT, FULL)
def sleep_at_top_level(place):
    return honest("import time\ntime.sleep(1e6)")


@kind(OK, FULL, "raised SystemExit")
def sys_exit_at_top_level(place):
    return honest("import sys\nsys.exit(3)")


@kind(PARTIAL, FULL, "raised SystemExit")
def sys_exit_before_the_answers(place):
    return [SETUP, f"import sys\nsys.exit()\n{LOGITS}\n{PROTOTYPE}\n{CHECKS}"]


@kind(PARTIAL, FULL, "17 more of its statements raised")
def errors_without_number_before_an_answer(place):
    return [SETUP, "missing\n" * 21 + LOGITS, PROTOTYPE, CHECKS]


@kind(TIMED_OUT, FULL, "all of it was run but what stands in line 4")
def endless_loop_after_an_error(place):
    return [SETUP, f"import no_such\n{LOGITS}\nwhile True: pass", PROTOTYPE, CHECKS]


@kind(OK, ONLY_SECOND, "SystemExit")
def sys_exit_in_an_answer(place):
    return answering("import sys\nsys.exit(0)")


@kind(OK, ONLY_SECOND, "KeyboardInterrupt")
def interrupt_in_an_answer(place):
    return answering("raise KeyboardInterrupt")


@kind(KILLED, FULL, "ended its own process")
def os_exit_at_top_level(place):
    return honest("import os\nos._exit(0)")


@kind(KILLED, FULL)
def os_exit_with_the_workers_own_code(place):
    return honest("import os\nos._exit(77)")


@kind(KILLED, ONLY_SECOND)
def os_exit_in_an_answer(place):
    return answering("import os\nos._exit(0)")


@kind(KILLED, FULL)
def sigkill_of_itself_at_top_level(place):
    return honest("import os\nos.kill(os.getpid(), 9)")


@kind(KILLED, ONLY_SECOND)
def sigkill_of_itself_in_an_answer(place):
    return answering("import os\nos.kill(os.getpid(), 9)")


@kind(KILLED, FULL)
def sigkill_of_its_parent_at_top_level(place):
    return honest("import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(3)")


@kind(KILLED, ONLY_SECOND)
def sigkill_of_its_parent_in_an_answer(place):
    return answering("import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(3)\nreturn x @ weight.T + bias")


# Where /proc shows more than a sandbox holds, nothing is killed.
KILL_ALL = """
import os, time
def kill_all():
    seen = [int(pid) for pid in os.listdir('/proc') if pid.isdigit()]
    for pid in seen if len(seen) < 40 else ():
        if pid != os.getpid():
            try:
                os.kill(pid, 9)
            except OSError:
                pass
"""


@kind(KILLED, ONLY_SECOND)
def sigkill_of_all_that_it_sees(place):
    return answering("kill_all()\ntime.sleep(3)", before=KILL_ALL)


@kind(KILLED, FULL)
def a_crash_in_c(place):
    return honest("import ctypes\nctypes.string_at(0)")


BOMB = """
import os, time
for _ in range(200):
    if os.fork() == 0:
        time.sleep(120)
        os._exit(0)
"""


@kind(OK, FULL, "raised BlockingIOError")
def fork_bomb_at_top_level(place):
    return honest(BOMB)


@kind(OK, ONLY_SECOND, "BlockingIOError")
def fork_bomb_in_an_answer(place):
    return answering(BOMB)


@kind(OK, FULL)
def fork_bomb_of_forks_in_a_namespace_of_its_own(place):
    return honest(f"import ctypes\nctypes.CDLL(None).unshare(0x10000000)\n{BOMB}")


@kind(OK, FULL)
def daemons_that_kill_later(place):
    later = "    if os.fork() == 0:\n        time.sleep(0.5)\n        kill_all()\n"
    daemon = f"if os.fork() == 0:\n    os.setsid()\n{later}    os._exit(0)"
    return honest(f"{KILL_ALL}\n{daemon}")


@kind(OK, FULL, "MemoryError")
def memory_bomb_at_top_level(place):
    return honest("kept = [np.zeros(2**25) for _ in range(16)]")


@kind(OK, ONLY_SECOND, "MemoryError")
def memory_bomb_in_an_answer(place):
    return answering("kept = [np.zeros(2**25) for _ in range(16)]\nreturn x @ weight.T + bias")


@kind(KILLED, FULL, "took too much memory")
def memory_bomb_of_many_processes(place):
    fill = "        kept = np.ones(2**25)\n        time.sleep(120)\n        os._exit(0)"
    return honest(f"import os, time\nfor _ in range(6):\n    if os.fork() == 0:\n{fill}\ntime.sleep(120)")


@kind(KILLED, FULL, "took too much memory")
def memory_bomb_of_processes_that_a_thread_starts(place):
    fill = "            kept = np.ones(2**25)\n            time.sleep(120)\n            os._exit(0)"
    start = f"def start():\n    for _ in range(6):\n        if os.fork() == 0:\n{fill}\n    time.sleep(120)"
    return honest(f"import os, threading, time\n{start}\nt = threading.Thread(target=start)\nt.start()\nt.join()")


@kind(KILLED, FULL, "took too much memory")
def memory_that_is_shared_and_shows_in_no_process(place):
    keep = "    kept = mmap.mmap(-1, 2**28)\n    if os.fork() == 0:\n        time.sleep(120)\n        os._exit(0)"
    return honest(f"import mmap, os, time\nfor _ in range(6):\n{keep}\n    kept.close()\ntime.sleep(120)")


# Each later cell's process then sends one byte of a reply; what the cells after it define is never reached.
HALF_A_REPLY = """
from moe_lessons.grading import worker
import os, time
def cell(self, request):
    self.channel.send(bytes(1))
    for _ in range(6):
        if os.fork() == 0:
            kept = np.ones(2**25)
            time.sleep(120)
            os._exit(0)
    time.sleep(120)
worker.Worker.cell = cell
"""


@kind(KILLED, (0, 0), "took too much memory")
def memory_bomb_behind_half_a_reply(place):
    return honest(HALF_A_REPLY, "x = 1")


@kind(OK, FULL, "raised PermissionError")
def memory_in_a_file_without_a_name(place):
    return honest("import os\nos.memfd_create('m')")


@kind(OK, FULL)
def torch_told_to_use_two_threads(place):
    compute = "torch.randn(2_000_000).exp().sum()"
    return [
        SETUP,
        f"import torch\ntorch.set_num_threads(2)\n{compute}",
        *answering(f"{compute}\nreturn x @ weight.T + bias")[1:],
    ]


@kind(OK, FULL)
def hundred_megabytes_of_output(place):
    return honest("import os\nfor _ in range(50):\n    print('x' * 10**6)\n    os.write(1, b'x' * 10**6)")


@kind(OK, FULL, "raised OSError")
def a_file_of_one_gigabyte(place):
    return honest("with open('big', 'wb') as f:\n    for _ in range(1024):\n        f.write(bytes(2**20))")


@kind(OK, FULL)
def the_disk_filled_with_files(place):
    return honest("for i in range(100):\n    with open(f'f{i}', 'wb') as f:\n        f.write(bytes(10 * 2**20))")


@kind(KILLED, FULL)
def all_descriptors_used(place):
    return honest("kept = []\nwhile len(kept) < 10_000:\n    kept.append(open('/dev/null'))")


@kind(OK, ONLY_SECOND, "RecursionError")
def deep_recursion(place):
    return answering("return my_logits(x, weight, bias)")


@kind(KILLED, ONLY_SECOND)
def recursion_until_the_stack_is_full(place):
    endless = "class A:\n    def __getattr__(self, n):\n        return getattr(self, n + 'x')"
    return answering("import sys\nsys.setrecursionlimit(10**8)\nA().y", before=endless)


@kind(OK, FULL, "cell 3 raised")
def a_source_nested_too_deeply(place):
    return honest("(" * 100_000 + ")" * 100_000)


@kind(KILLED, FULL, "cell 3 ended its own process")
def threads_that_go_on(place):
    spin = "import os, threading, time\ndef spin():\n    while True: pass\n"
    leave = "def leave():\n    time.sleep(0.3)\n    os._exit(1)\n"
    return honest(f"{spin}{leave}for f in (spin, leave):\n    threading.Thread(target=f).start()")


@kind(OK, FULL)
def a_timer_that_rings_later(place):
    return honest("import signal\nsignal.setitimer(signal.ITIMER_REAL, 0.2)")


@kind(OK, FULL)
def children_that_nobody_waits_for(place):
    return honest("import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)")


@kind(OK, FULL)
def atexit_that_does_not_end(place):
    return honest("import atexit\ndef spin():\n    while True: pass\natexit.register(spin)")


@kind(KILLED, FULL)
def no_descriptors_left(place):
    return honest("import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))")


@kind(KILLED, FULL)
def a_hook_that_forbids_forks(place):
    hook = "def hook(event, arguments):\n    if event == 'os.fork':\n        raise RuntimeError\n"
    return honest(f"import sys\n{hook}sys.addaudithook(hook)")


DEAF = """
import signal, time
def deaf(seconds):
    for number in signal.valid_signals() - {9, 19}:
        signal.signal(number, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    while time.process_time() < seconds:
        pass
"""


@kind(TIMED_OUT, ONLY_SECOND, "the answer to 1.1 was stopped after 1 seconds")
def a_right_answer_that_outlasts_its_time_deaf_to_signals(place):
    return answering("deaf(4.5)\nreturn x @ weight.T + bias", before=DEAF)


@kind(TIMED_OUT, FULL, "cell 4 was stopped after 1 seconds")
def a_cell_that_outlasts_its_time_deaf_to_signals(place):
    return [SETUP, DEAF, LOGITS, f"deaf(4.7)\n{PROTOTYPE}", PROTOTYPE, CHECKS]


# Each process stays below its own limit; together they do not. None is a child of the cell's, or of its session.
ORPHANS = """
import os, time
def burn(many, seconds):
    inlet, outlet = os.pipe()
    for _ in range(many):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                while time.process_time() < seconds:
                    pass
            os._exit(0)
    os.close(outlet)
    while os.read(inlet, 1):
        pass
"""


@kind(TIMED_OUT, FULL, "cell 4")
def processes_that_leave_their_session_and_burn_while_the_cell_waits(place):
    return honest("burn(12, 0.9)", before=ORPHANS)


@kind(TIMED_OUT, ONLY_SECOND, "the answer to 1.1")
def a_right_answer_that_lets_orphans_burn(place):
    return answering("burn(12, 0.9)\nreturn x @ weight.T + bias", before=ORPHANS)


@kind(TIMED_OUT, ONLY_SECOND, "the answer to 1.1")
def a_right_answer_that_lets_its_children_burn(place):
    """One after the other, and each is waited for."""
    burn = "if os.fork() == 0:\n        deaf(0.8)\n        os._exit(0)\n    os.wait()"
    return answering(f"import os\nfor _ in range(6):\n    {burn}\nreturn x @ weight.T + bias", before=DEAF)


@kind(TIMED_OUT, FULL, "cell 4")
def children_that_nobody_waits_for_burn(place):
    """No account holds the CPU time of the dead, so only while they live can it be seen."""
    ignore = "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)"
    return honest(f"{ignore}\nburn(14, 0.9)", before=ORPHANS.replace("            os.setsid()\n", ""))


@kind(OK, FULL)
def a_tracer_and_hooks_at_the_end_of_an_answer(place):
    """What an answer leaves to be done later, its process does not live to do."""
    trace = "sys.settrace(lambda *_: None)\nthreading.settrace(lambda *_: None)\natexit.register(spin)"
    body = f"import atexit, sys, threading\n{trace}\nthreading.Thread(target=spin).start()\nreturn x @ weight.T + bias"
    return answering(body, before="def spin():\n    while True: pass")

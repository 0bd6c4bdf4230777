"""Shared by all tests: in which order they run, what they cost, and where progress goes: not into the user's own."""

import itertools
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import settings

settings.register_profile("patient", deadline=None)  # how long an example takes is the machine's affair
settings.load_profile("patient")

SOAKED = 5  # seeds 0 to 4 take their turns in the daily run; `make soak` tries others
spent = Counter()  # CPU seconds by worker


def seeds():
    """Return what the banks of the checks are drawn with: one seed, another with every commit; SEEDS names others."""
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    first, _, last = os.environ.get("SEEDS", str(int(git.stdout[:4] or "0", 16) % SOAKED)).partition("-")
    return range(int(first), int(last or first) + 1)


def pytest_report_header():
    first, last = seeds()[0], seeds()[-1]
    drawn = f"seed {first}" if first == last else f"seeds {first} to {last}, wrong answers with fewer"
    return f"banks are drawn with {drawn}; SEEDS=7 or SEEDS=0-9 draws others"


def pytest_generate_tests(metafunc):
    if "bank_seeds" in metafunc.fixturenames:
        metafunc.parametrize("bank_seeds", [seeds()], ids=["-".join(map(str, sorted({seeds()[0], seeds()[-1]})))])


def pytest_itemcollected(item):
    """Let one worker have the short tests of a file, at once: asked for one by one, they take less than the asking."""
    if not (is_slow(item) or is_long(item) or item.get_closest_marker("xdist_group")):
        item.add_marker(pytest.mark.xdist_group(item.path.stem))


def pytest_collection_modifyitems(items):
    """Begin with the long tests, those with notebooks first; the short ones fill up what the workers have left."""
    items.sort(key=lambda i: (not is_slow(i), i.path.parent.name != "notebooks", not is_long(i)))


def is_slow(item):
    return any(item.get_closest_marker(name) for name in ("slow", "browser"))


def is_long(item):
    """Tell whether it is one of the banks: a file of many seconds, which the workers share."""
    return item.path.name == "test_banks.py"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """Report a test once, with what it took to set up, not three times: a short one takes less than a report."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    told = [report for report in reports if report.when == "call" or not report.passed] or reports
    told[0].duration = sum(report.duration for report in reports)
    for report in told:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    """Name a test as it can be asked for, without the group that is its file; the workers need that."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        report.nodeid = report.nodeid.removesuffix(f"@{Path(report.nodeid.split('::')[0]).stem}")


def pytest_sessionfinish(session):
    """Count the CPU seconds of a worker and of those it waited for; of the first process its own alone."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["cpu"] = sum(os.times()[:4])
    else:
        spent["main"] = sum(os.times()[:2]) if spent else sum(os.times()[:4])  # its children are the workers


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    spent[node.gateway.id] = getattr(node, "workeroutput", {}).get("cpu", 0.0)


def pytest_terminal_summary(terminalreporter):
    """Tell what the tests cost: seconds of the workers' clocks by folder, and of the processors."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    seconds = Counter()
    for report in reports:
        path = Path(getattr(report, "nodeid", "").split("::")[0])
        seconds[path.parent.name or "other"] += getattr(report, "duration", 0.0)
    folders = ", ".join(f"{folder} {count:.0f}" for folder, count in seconds.most_common() if count >= 1)
    terminalreporter.write_line(f"worker-seconds: {seconds.total():.0f} ({folders}); CPU seconds: {spent.total():.0f}")


@pytest.fixture(autouse=True, scope="session")
def interrupts():
    """Let Ctrl-C interrupt: a shell that starts the tests in the background has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def fresh_homes(tmp_path_factory):
    """Yield folders that are not there yet: `tmp_path` would make one for each test."""
    base = tmp_path_factory.mktemp("homes")
    return (base / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def progress_home(fresh_homes, monkeypatch):
    """Keep progress of each test apart."""
    home = next(fresh_homes)
    monkeypatch.setenv("MOE_LESSONS_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def task():
    """The text of lesson 11, which takes seconds to prepare."""
    from moe_lessons.corpus import text

    return text.prepare()


@pytest.fixture(scope="session")
def documents():
    """All that the text of lesson 11 is cut from."""
    from moe_lessons.corpus import sources

    return sources.gather(0)[0]

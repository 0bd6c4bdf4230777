"""The environment report names what is there and, clearly, what is missing."""

import sys
from importlib import metadata

import pytest

from moe_lessons.support import environment


def test_a_complete_installation_has_nothing_to_mend():
    report = environment.report()
    assert "Everything the course needs is here." in report
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in report
    assert "numpy" in report
    assert not any(line.startswith("!") for line in report.splitlines())


@pytest.mark.parametrize(
    ("required", "words"),
    [("numpy>=99", "! numpy"), ("no-such-package>=1", "! no-such-package is missing")],
)
def test_what_does_not_fit_is_marked_and_the_remedy_given(monkeypatch, required, words):
    monkeypatch.setattr(metadata, "requires", lambda _: [required, 'extra-only>=1 ; extra == "dev"'])
    report = environment.report()
    assert words in report
    assert "1 to mend: run `make setup`" in report
    assert "extra-only" not in report


@pytest.mark.parametrize(
    ("driver", "system", "machine", "words"),
    [
        ("/usr/bin/nvidia-smi", "Linux", "x86_64", "NVIDIA driver"),
        (None, "Darwin", "arm64", "Apple GPU"),
        (None, "Windows", "AMD64", "no GPU found"),
    ],
)
def test_accelerators(monkeypatch, driver, system, machine, words):
    monkeypatch.setattr(environment.shutil, "which", lambda _: driver)
    monkeypatch.setattr(environment.platform, "system", lambda: system)
    monkeypatch.setattr(environment.platform, "machine", lambda: machine)
    assert words in environment.report()


def test_the_report_does_not_load_torch():
    import subprocess

    code = "import sys; from moe_lessons.support.environment import report; report(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"

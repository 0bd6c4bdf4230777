"""The set-up: exact versions, one list of dependencies, and a clear sentence for everything that can go wrong."""

import functools
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from jupyterlab_server.settings_utils import get_settings
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]

# Where the lock must hold one pin, and one only, for everything that pyproject.toml asks for there.
SYSTEMS = [
    {
        "sys_platform": platform,
        "platform_system": system,
        "os_name": "nt" if platform == "win32" else "posix",
        "platform_machine": machine,
        "python_version": python,
        "python_full_version": f"{python}.9",
    }
    for platform, system, machine in (
        ("linux", "Linux", "x86_64"),
        ("linux", "Linux", "aarch64"),
        ("darwin", "Darwin", "arm64"),
        ("win32", "Windows", "AMD64"),
    )
    for python in ("3.11", "3.12", "3.13", "3.14")
]


def load(path):
    """Load a script of authoring/, which is no package."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ENVIRONMENT = load("authoring/environment.py")
LOCKING = load("authoring/lock.py")


# --- requirements.lock --------------------------------------------------------------------------------------------


@functools.cache
def pins(lock):
    return [Requirement(line) for line in lock.splitlines() if line and not line.startswith("#")]


def inexact(lock):
    """Return the lines that are not `name==version`, with or without a marker, and the CUDA packages."""
    lines = [line for line in lock.splitlines() if not line.startswith("#")]
    exact = re.compile(r"[a-z0-9][a-z0-9.-]*==[0-9][0-9a-z.]*( ; .+)?")
    return [line for line in lines if not exact.fullmatch(line) or re.match(r"nvidia|cuda|triton", line)]


def uncovered(lock, wanted, system):
    """Return the requirements that the lock's pins do not meet on one system, each exactly once and in bounds."""
    missing = []
    for requirement in wanted:
        if requirement.marker and not requirement.marker.evaluate(system):
            continue
        here = [p for p in pins(lock) if p.name == requirement.name and (not p.marker or p.marker.evaluate(system))]
        versions = [next(iter(pin.specifier)).version for pin in here]
        if len(versions) != 1 or versions[0] not in requirement.specifier:
            missing.append(f"{requirement} (locked: {versions})")
    return missing


def wanted():
    extras = [line for name in LOCKING.EXTRAS for line in PROJECT["optional-dependencies"][name]]
    return [Requirement(line) for line in PROJECT["dependencies"] + extras + PYPROJECT["build-system"]["requires"]]


def test_the_lock_is_exact_and_without_cuda():
    assert inexact(LOCK) == []
    assert "torch==2.13.0" in LOCK.splitlines()


@pytest.mark.parametrize(
    "line",
    [
        "numpy>=2.0",
        "numpy",
        "numpy==2.*",
        "nvidia-cublas==13.1.0.3",
        "triton==3.7.1 ; sys_platform == 'linux'",
        "cuda-bindings==13.0.3",
        "torch==2.13.0+cpu",
        "-f somewhere",
        "numpy @ somewhere",
    ],
)
def test_a_line_that_is_not_exact_is_seen(line):
    assert inexact(LOCK + line + "\n") == [line]


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda s: "-".join((s["sys_platform"], s["python_version"])))
def test_the_lock_covers_every_dependency_within_its_bounds(system):
    assert uncovered(LOCK, wanted(), system) == []


def test_a_gap_in_the_lock_is_seen():
    tqdm = next(line for line in LOCK.splitlines() if line.startswith("tqdm=="))
    for broken in (LOCK.replace(tqdm + "\n", ""), LOCK.replace(tqdm, "tqdm==3.0"), LOCK + tqdm + "\n"):
        assert len(uncovered(broken, wanted(), SYSTEMS[0])) == 1


def locked_bench_packages(lock):
    bench = {Requirement(line).name for line in PROJECT["optional-dependencies"]["bench"]}
    return sorted(bench & {pin.name for pin in pins(lock)})


def test_the_lock_holds_every_extra_but_bench():
    assert set(PROJECT["optional-dependencies"]) == {*LOCKING.EXTRAS, "bench"}
    assert locked_bench_packages(LOCK) == []


def test_a_bench_package_in_the_lock_is_seen():
    assert locked_bench_packages(LOCK + "mixture-of-experts==0.2.3\n") == ["mixture-of-experts"]


def test_writing_the_lock_drops_cuda_and_build_tags():
    resolution = "cuda-bindings==13.0 ; x\nnumpy==2.4.6\nnvidia-nccl==2\ntorch==2.13.0+cpu\ntriton==3.7 ; y\n"
    assert LOCKING.tidy(resolution) == LOCKING.HEADER + "numpy==2.4.6\ntorch==2.13.0\n"


def test_the_lock_is_as_make_lock_writes_it():
    assert LOCKING.tidy(LOCK.removeprefix(LOCKING.HEADER)) == LOCK


def test_the_tools_of_the_web_edition_have_locks_of_their_own():
    lock = (ROOT / "requirements-site.lock").read_text(encoding="utf-8")
    assert inexact(lock) == []
    assert LOCKING.tidy(lock.removeprefix(LOCKING.SITE_HEADER), LOCKING.SITE_HEADER) == lock
    assert "torch" not in {pin.name for pin in pins(lock)}
    listed = (ROOT / "docs/requirements.in").read_text(encoding="utf-8").splitlines()
    asked = [Requirement(line) for line in listed if not line.startswith("#")]
    assert [uncovered(lock, asked, system) for system in SYSTEMS] == [[]] * len(SYSTEMS)


def unlocked(package_lock):
    """Return the npm packages without an exact version or digest, and those that name where they come from."""
    packages = {name: entry for name, entry in json.loads(package_lock)["packages"].items() if name}
    return [name for name, entry in packages.items() if "integrity" not in entry or "resolved" in entry]


def test_what_npm_installs_is_locked_by_digest_and_names_no_host():
    lock = (ROOT / "docs/package-lock.json").read_text(encoding="utf-8")
    assert unlocked(lock) == []
    assert unlocked(lock.replace('"integrity"', '"nothing"')) == ["node_modules/axe-core", "node_modules/mathjax"]
    assert unlocked(lock.replace('"license"', '"resolved"')) == ["node_modules/axe-core", "node_modules/mathjax"]


# --- environment.yml ----------------------------------------------------------------------------------------------

CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


def conda_bounds(text):
    """Return {name: (bounds, build)} of an environment.yml: `name bounds build`, the last two optional."""
    listed = [entry for entry in yaml.safe_load(text)["dependencies"] if isinstance(entry, str)]
    parts = [re.fullmatch(r"([a-z0-9-]+) ?([<>=][^ ]*)?(?: (\S+))?", entry).groups() for entry in listed]
    return {name: (SpecifierSet(bounds or ""), build) for name, bounds, build in parts}


def project_bounds():
    listed = {r.name: r.specifier for r in map(Requirement, PROJECT["dependencies"])}
    bounds = {CONDA_NAMES.get(name, name): specifier for name, specifier in listed.items()}
    return bounds | {"python": SpecifierSet(PROJECT["requires-python"]), "pip": SpecifierSet("")}


def test_conda_gets_the_same_packages_and_bounds():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert {name: bounds for name, (bounds, _) in conda_bounds(text).items()} == project_bounds()
    assert conda_bounds(text)["pytorch"][1] == "cpu*"
    assert yaml.safe_load(text)["dependencies"][-1] == {"pip": ["-e ."]}


@pytest.mark.parametrize(("old", "new"), [("scipy>=1.13,<2", "scipy>=1.12,<2"), ("  - tqdm>=4.66,<5\n", "")])
def test_a_different_conda_environment_is_seen(old, new):
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert old in text
    changed = conda_bounds(text.replace(old, new))
    assert {name: bounds for name, (bounds, _) in changed.items()} != project_bounds()


# --- make ---------------------------------------------------------------------------------------------------------

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="no make here (Windows: see README.md)")


@pytest.fixture
def copy(tmp_path):
    """A folder with what `make setup` needs, and a space in its name."""
    folder = tmp_path / "a course"
    (folder / "authoring").mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "pyproject.toml", "authoring/environment.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def make(folder, *arguments, **variables):
    """Run make as a user would, without what an outer make has put into the environment."""
    outer = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "PYTHON", "PORT", "ARGS")
    environment = {key: value for key, value in os.environ.items() if key not in outer}
    done = subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=environment | {"LC_ALL": "C"} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def pretend_ready(folder, pip="exit 1"):
    """Make `folder` look as after `make setup`.

    Its Python runs environment.py and nothing else: a pip in it would install into the environment of this test.
    """
    run = f'authoring/environment.py) exec "{sys.executable}" "$@" ;;'
    script(folder / ".venv" / "bin" / "python", f'case "$1" in {run} esac\n{pip}')
    files = "".join((folder / n).read_text(encoding="utf-8") for n in ("requirements.lock", "pyproject.toml"))
    (folder / ".venv" / ".ready").write_text(f"{folder.resolve()}\n{files}", encoding="utf-8")


@needs_make
def test_make_alone_explains_every_target():
    code, printed = make(ROOT)
    assert code == 0
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"^  make ([a-z-]+) +\w", printed, re.MULTILINE)) == set(targets) - {"ready"}


@needs_make
def test_a_python_that_is_not_there_gets_a_sentence(copy):
    code, printed = make(copy, "setup", "PYTHON=/nonexistent")
    assert code != 0
    assert "needs Python 3.11 or newer; tried: /nonexistent (not found)." in printed
    assert not (copy / ".venv").exists()


OLD = 'case "$2" in *print*) echo 3.8 ;; *) exit 1 ;; esac'
REAL = f'exec "{sys.executable}" "$@"'
# Stands for a new enough Python: it takes every question for a yes, and makes an environment of one file.
NEW = 'case "$1" in -c) exit 0 ;; esac; mkdir -p .venv/bin; cp "$0" .venv/bin/python; echo "set up by $0"'


@needs_make
def test_a_python_that_is_too_old_gets_a_sentence(copy):
    script(copy / "bin" / "python3", OLD)
    code, printed = make(copy, "setup", "PYTHON=bin/python3")
    assert code != 0
    assert "needs Python 3.11 or newer; tried: bin/python3 (3.8)." in printed
    assert not (copy / ".venv").exists()


@needs_make
def test_the_first_python_that_is_new_enough_is_taken(copy):
    script(copy / "bin" / "python3", OLD)
    script(copy / "bin" / "python3.13", NEW)
    script(copy / "bin" / "python3.12", NEW)
    code, printed = make(copy, "setup", PATH=f"{copy / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert code == 0
    assert f"set up by {copy / 'bin' / 'python3.13'}" in printed


@needs_make
@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml"])
def test_the_environment_is_made_once_and_again_after_a_change(copy, changed):
    script(copy / "bin" / "python3", NEW)
    runs = [make(copy, "ready", "PYTHON=bin/python3") for _ in range(2)]
    (copy / changed).write_text((copy / changed).read_text(encoding="utf-8") + "# new\n", encoding="utf-8")
    runs += [make(copy, "ready", "PYTHON=bin/python3") for _ in range(2)]
    assert ["set up by" in printed for _, printed in runs] == [True, False, True, False]


@needs_make
def test_setup_by_name_mends_what_counts_as_ready(copy):
    pretend_ready(copy)
    script(copy / "bin" / "python3", NEW)
    assert "set up by" in make(copy, "setup", "PYTHON=bin/python3")[1]
    assert "set up by" not in make(copy, "ready", "PYTHON=bin/python3")[1]


@needs_make
def test_a_moved_environment_is_made_again(copy):
    pretend_ready(copy)
    moved = copy.rename(copy.parent / "moved")
    script(moved / "bin" / "python3", NEW)
    assert "set up by" in make(moved, "ready", "PYTHON=bin/python3")[1]


PIP = f"""
echo "$PIP_EXTRA_INDEX_URL: $*" >> pip.log
case "$*" in
  *--version*) echo "pip 26 from here (python {sys.version_info[0]}.{sys.version_info[1]})" ;;
  *requirements.lock*) echo "ERROR: No matching distribution found for anyio==4.16.0"; exit 1 ;;
esac
"""


@needs_make
def test_when_pip_fails_nothing_counts_as_ready(copy):
    pretend_ready(copy, PIP)
    (copy / "requirements.lock").write_text("anyio==4.16.0\n", encoding="utf-8")
    script(copy / "bin" / "python3", REAL)
    code, printed = make(copy, "setup", "PYTHON=bin/python3", "PIP_EXTRA_INDEX_URL=here")
    assert code != 0
    assert "Setting up .venv with Python" in printed
    assert "pip found no anyio==4.16.0. Either its package index is out of reach" in printed
    assert not (copy / ".venv" / ".ready").exists()
    asked = (copy / "pip.log").read_text(encoding="utf-8").splitlines()
    assert [line.split()[-1] for line in asked] == ["--version", "requirements.lock"]
    assert all(line.startswith("here: ") for line in asked)


@needs_make
def test_when_pip_succeeds_the_environment_is_ready(copy):
    pretend_ready(copy, PIP.replace("exit 1", "exit 0"))
    script(copy / "bin" / "python3", REAL)
    assert make(copy, "setup", "PYTHON=bin/python3")[0] == 0
    assert (copy / ".venv" / ".ready").exists()
    assert (copy / "pip.log").read_text(encoding="utf-8").splitlines()[-1].endswith("--no-build-isolation -e .")
    assert setting(copy, NEWS) == "false"


# Plugins of JupyterLab, each with a setting that the course has a wish for.
NEWS = ("@jupyterlab/apputils-extension:notification", "fetchNews")
THEME = ("@jupyterlab/apputils-extension:themes", "theme")
WIDGETS = ("@jupyter-widgets/jupyterlab-manager:plugin", "saveState")


def setting(folder, what):
    """Return what JupyterLab in the .venv of `folder` would take for a setting that its user has not touched."""
    own = Path(sys.prefix, "share", "jupyter")
    found, _ = get_settings(
        app_settings_dir=str(folder / ".venv/share/jupyter/lab/settings"),
        schemas_dir=str(own / "lab" / "schemas"),
        settings_dir=str(folder / "nothing set"),
        schema_name=what[0],
        labextensions_path=[str(own / "labextensions")],
    )
    return found["schema"]["properties"][what[1]]["default"]


@pytest.mark.slow
@needs_make
def test_make_lab_saves_widgets_with_the_notebook_whatever_the_set_up_wrote(copy):
    pretend_ready(copy)
    assert setting(copy, WIDGETS) is False
    code, printed = make(copy, "lab", "ARGS=--version")
    assert (code, setting(copy, WIDGETS), setting(copy, NEWS)) == (0, True, "false"), printed


@pytest.mark.slow
@needs_make
def test_make_lab_leaves_the_users_own_settings_alone(copy):
    pretend_ready(copy)
    own = copy / ".venv/share/jupyter/lab/settings/overrides.json"
    own.parent.mkdir(parents=True)
    text = json.dumps({WIDGETS[0]: {"saveState": False}, THEME[0]: {"theme": "JupyterLab Dark"}})
    own.write_text(text, encoding="utf-8")
    assert make(copy, "lab", "ARGS=--version")[0] == 0
    assert own.read_text(encoding="utf-8") == text
    assert setting(copy, WIDGETS) is False
    assert setting(copy, NEWS) == "false"
    assert setting(copy, THEME) == "JupyterLab Dark"


@needs_make
def test_grading_wants_a_folder_and_puts_marks_beside_it(copy):
    pretend_ready(copy, 'printf "<%s>" "$@"')
    code, printed = make(copy, "grade")
    assert code != 0
    assert "Which folder? make grade DIR=submissions" in printed
    asked = "<-m><moe_lessons.grading><my class/><-o><{}><--jobs><1>"
    for more, out in ([], "my class-marks/marks.csv"), (["OUT=x y.csv"], "x y.csv"):
        code, printed = make(copy, "grade", "DIR=my class/", "ARGS=--jobs 1", *more)
        assert code == 0
        assert asked.format(out) in printed


@pytest.mark.parametrize(
    ("printed", "sentence"),
    [
        ("WARNING: Retrying (Retry(total=4)) after ...\nERROR: No matching distribution found for x==1", "network"),
        ("ERROR: No matching distribution found for x==1.0", "pip found no x==1.0."),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("error: subprocess-exited-with-error", "last lines are above"),
    ],
)
def test_a_failure_of_pip_is_explained(printed, sentence):
    assert sentence in ENVIRONMENT.cause(printed)


@pytest.fixture
def taken_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@needs_make
def test_a_port_that_is_taken_gets_a_sentence(copy, taken_port):
    pretend_ready(copy)
    code, printed = make(copy, "lab", f"PORT={taken_port}")
    assert code != 0
    assert f"Port {taken_port} is in use: choose another" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1", "8888.5"])
def test_a_port_that_is_none_gets_a_sentence(port, capsys):
    with pytest.raises(SystemExit):
        ENVIRONMENT.port_options(port)
    assert f"PORT={port}: expected a whole number from 1 to 65535" in capsys.readouterr().err


def test_without_a_port_jupyter_takes_the_next_free_one(taken_port, monkeypatch, capsys):
    monkeypatch.setattr(ENVIRONMENT, "DEFAULT_PORT", taken_port)
    assert ENVIRONMENT.port_options(None) == []
    assert f"Port {taken_port} is in use: JupyterLab takes the next free one." in capsys.readouterr().out


def test_a_free_port_is_taken_and_no_other(taken_port, monkeypatch):
    monkeypatch.setattr(ENVIRONMENT, "is_taken", lambda port: port == taken_port)
    assert "--ServerApp.port_retries=0" in ENVIRONMENT.port_options(str(taken_port - 1))


# --- what is written down -----------------------------------------------------------------------------------------

# Put together here so that this file does not contain them.
HOSTS = ("py" + "pi.org", "python" + "hosted.org", "download.py" + "torch.org", "ana" + "conda.org")
PATHS = ("/wo" + "rk/", "/ro" + "ot/", "/opt/py" + "pi", "file:/" + "//", "/home/" + "[a-z]")
PRIVATE = re.compile("|".join([*map(re.escape, HOSTS), *(rf"(?<![\w.~-]){path}" for path in PATHS)]))


def committed_files():
    """Return what git tracks, or would with the next `git add`."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    if listed.returncode:
        pytest.skip("not a git repository: which files belong to it is unknown")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_package_registry_or_a_path_of_one_machine():
    found = []
    for path in committed_files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in PRIVATE.finditer(text)]
    assert found == []


@pytest.mark.parametrize("text", [*HOSTS, "cd /wo" + "rk/x", "file:/" + "//x", "'/home/" + "ann/course'"])
def test_a_registry_or_a_path_of_one_machine_is_seen(text):
    assert PRIVATE.search(text)


def test_ci_runs_the_tests_and_lets_no_browser_test_be_skipped():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert script.index("export CI=true") < script.index("\nmake test\n")
    assert os.access(ROOT / ".ci" / "run", os.X_OK) or os.name == "nt"
    assert script.index("\nmake test\n") < script.index("\nFRESH= make test-web\n")
    for tool, package in (("chromium", "chromium"), ("bwrap", "bubblewrap"), ("npm", "npm")):
        assert f"command -v {tool} >/dev/null || missing+=({package})" in script


GROUP = """
import os
import pytest

@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(4))
def test_it_is_here(number):
    open(f"{number} on {os.environ['PYTEST_XDIST_WORKER']}", "w").close()
"""


@pytest.mark.slow
def test_the_tests_of_a_group_share_one_worker_and_so_what_is_set_up_for_them(tmp_path):
    (tmp_path / "test_group.py").write_text(GROUP, encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "--rootdir", str(tmp_path)]
    subprocess.run(command, cwd=tmp_path, env=env, check=True, stdout=subprocess.DEVNULL)
    ran = [path.name.split(" on ") for path in tmp_path.glob("* on *")]
    assert sorted(number for number, _ in ran) == ["0", "1", "2", "3"]
    assert len({worker for _, worker in ran}) == 1


@pytest.mark.parametrize("name", PROJECT["license-files"])
def test_both_licences_are_there_in_full(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "The MoE Lessons" in text
    assert {"LICENSE": "MIT License", "LICENSE-TEXT": "Section 8 -- Interpretation."}[name] in text

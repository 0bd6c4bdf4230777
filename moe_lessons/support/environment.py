"""What this computer offers the course: versions, cores, a GPU if any, and what is missing."""

import os
import platform
import shutil
import sys
import textwrap
from importlib import metadata

from packaging.requirements import Requirement

HOW_TO_MEND = "run `make setup` (or the pip lines of the README) in the course's folder, then restart the kernel"


def report() -> str:
    """Return a few lines about this computer; each line that needs attention starts with "!"."""
    required = [Requirement(text) for text in metadata.requires("moe-lessons") or []]
    packages = [_package(r) for r in required if r.marker is None]  # those with a marker belong to extras
    troubles = [line for line in packages if line.startswith("!")]
    there = [line for line in packages if line not in troubles]
    return "\n".join([
        f"  Python {platform.python_version()} on {platform.system()} ({sys.executable})",
        f"  {os.cpu_count()} processor cores; {_accelerator()}",
        *textwrap.wrap(", ".join(there), 72, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False),
        *troubles,
        f"! {len(troubles)} to mend: {HOW_TO_MEND}" if troubles else "  Everything the course needs is here.",
    ])  # fmt: skip


def _package(requirement: Requirement) -> str:
    """Name a package with its version, without importing it; "!" marks one that is missing or does not fit."""
    try:
        found = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"! {requirement.name} is missing"
    if not requirement.specifier.contains(found, prereleases=True):
        return f"! {requirement.name} {found} does not fit: the course needs {requirement.specifier}"
    return f"{requirement.name} {found}"


def _accelerator() -> str:
    """Tell of a GPU without loading torch, which takes seconds."""
    if shutil.which("nvidia-smi"):
        return "an NVIDIA driver is installed, so training lessons may use the GPU"
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "an Apple GPU is there, but the lessons are made for the processor"
    return "no GPU found, and none is needed"

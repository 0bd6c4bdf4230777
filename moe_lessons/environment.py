"""What this computer offers the course: versions, cores, a GPU if any, and what is missing."""

import os
import platform
import shutil
import sys
from importlib import metadata

from packaging.requirements import Requirement

HOW_TO_MEND = "run `make setup` (or the pip lines of the README) in the course's folder, then restart the kernel"


def report() -> str:
    """Return a few lines about this computer; each line that needs attention starts with "!"."""
    lines = [
        f"  Python {platform.python_version()} on {platform.system()} ({sys.executable})",
        f"  {os.cpu_count()} processor cores; {_accelerator()}",
        *_packages(),
    ]
    troubles = sum(line.startswith("!") for line in lines)
    lines.append(f"! {troubles} to mend: {HOW_TO_MEND}" if troubles else "  Everything the course needs is here.")
    return "\n".join(lines)


def _packages() -> list[str]:
    """One line per package that the course requires, with its version, without importing any."""
    required = [Requirement(text) for text in metadata.requires("moe-lessons") or []]
    return [_package(r) for r in required if r.marker is None]  # those with a marker belong to extras


def _package(requirement: Requirement) -> str:
    try:
        found = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"! {requirement.name} is missing"
    if not requirement.specifier.contains(found, prereleases=True):
        return f"! {requirement.name} {found} does not fit: the course needs {requirement.specifier}"
    return f"  {requirement.name} {found}"


def _accelerator() -> str:
    """Tell of a GPU without loading torch, which takes seconds."""
    if shutil.which("nvidia-smi"):
        return "an NVIDIA driver is installed, so training lessons may use the GPU"
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "an Apple GPU is there, but the lessons are made for the processor"
    return "no GPU found, and none is needed"

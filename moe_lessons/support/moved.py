"""Old addresses of modules: a notebook that was handed out before they moved imports them as it always did."""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import InspectLoader, Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType

PACKAGE = "moe_lessons"
MOVED = {
    "balancing_runs": "experiments.balancing_runs",
    "bias_logs": "checks.bias_logs",
    "blind_spot": "experiments.blind_spot",
    "capacity_runs": "experiments.capacity_runs",
    "environment": "support.environment",
    "generated_text": "corpus.generated",
    "real_routers": "experiments.real_routers",
    "router_training": "experiments.router_training",
    "side_by_side": "experiments.side_by_side",
    "specialisation": "experiments.specialisation",
    "storage": "support.storage",
    "text": "corpus.text",
    "text_sources": "corpus.sources",
    "threads": "support.threads",
    "timing": "support.timing",
    "token_classes": "corpus.token_classes",
    "validation": "support.validation",
    "worth_it": "experiments.worth_it",
}


def address(name: str) -> str | None:
    """Return where the module lives that was called `name` ("moe_lessons.timing"), or None if it never moved."""
    package, _, old = name.rpartition(".")
    return f"{PACKAGE}.{MOVED[old]}" if package == PACKAGE and old in MOVED else None


class Moved(MetaPathFinder, Loader):
    """Finds a module under its old name, and loads the one there is: both names are the same module."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for an old name, None for any other."""
        return ModuleSpec(fullname, self) if address(fullname) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module from where it lives now."""
        module = importlib.import_module(address(spec.name) or spec.name)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module as it is: it has been run. The import system has written its old spec into it."""
        module.__spec__ = self.spec

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the module's code, for `python -m` with an old name."""
        spec = importlib.util.find_spec(address(fullname) or fullname)
        return spec.loader.get_code(spec.name) if spec and isinstance(spec.loader, InspectLoader) else None


def install() -> None:
    """Let the old addresses be found, after all others."""
    if not any(isinstance(finder, Moved) for finder in sys.meta_path):
        sys.meta_path.append(Moved())

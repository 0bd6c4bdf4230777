"""Reference code, pictures and checks of the course MoE Lessons."""

from moe_lessons.support import moved as _moved

__version__ = "0.1.0"
_moved.install()

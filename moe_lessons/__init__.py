"""Reference code, pictures and checks of the course MoE Lessons."""

__version__ = "0.1.0"

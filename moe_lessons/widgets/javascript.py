"""Read the JavaScript and the styles that the widgets run in the browser; they lie beside this file."""

from importlib.resources import files

from moe_lessons.support.validation import refuse

_FOLDER = files("moe_lessons.widgets")


def source(*names: str) -> str:
    """Return the named files, joined in this order, as one text.

    anywidget loads a single module, so a file may use what the files before it define.
    Raises ValueError for a name that is no file of this folder.
    """
    return "\n".join(_read(name) for name in names)


def _read(name: str) -> str:
    """Read one file of the folder."""
    here = sorted(entry.name for entry in _FOLDER.iterdir() if entry.name.endswith((".js", ".css")))
    if name not in here:
        raise refuse("name", name, f"one of the files {', '.join(here)}")
    return (_FOLDER / name).read_text(encoding="utf-8")

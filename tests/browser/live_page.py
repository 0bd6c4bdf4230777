"""A page of blocks with docs/_static beside it, for tests of live.js and reading.js: served from memory."""

from plain_page import STATIC

from moe_lessons.support.glossary import as_json, read
from moe_lessons.widgets.page import modules

ADDRESS = "http://course.test/page.html"
KINDS = {"js": "text/javascript", "css": "text/css", "json": "application/json", "html": "text/html"}
DARK = """:root { color-scheme: dark; --jp-content-font-color1: #ced6dd; --jp-content-font-color2: #9ca4af;
  --jp-layout-color0: #14181e; --jp-border-color1: #48566b } body { background: #14181e; color: #ced6dd }"""


def files(body, style="", without=()):
    """Return every file of the site by its path: one page, and what lies beside it but for those in `without`."""
    links = '<link rel="icon" href="data:,"><link rel="stylesheet" href="_static/live.css">'
    head = f"<title>Page</title>{links}<style>{style}</style>"
    scripts = "".join(f'<script type="module" src="_static/{name}.js"></script>' for name in ("live", "reading"))
    page = f'<!doctype html><html lang="en"><head>{head}{scripts}</head><body><main>{body}</main></body></html>'
    static = {f"_static/{path.name}": path.read_text(encoding="utf-8") for path in STATIC.iterdir() if path.is_file()}
    widgets = {f"_static/widgets/{name}": text for name, text in modules().items()}
    every = {"page.html": page, "_static/glossary.json": as_json(read()), **static, **widgets}
    return {path: text for path, text in every.items() if path not in without}


def serve(context, every):
    """Let a browser's context find these files, and nothing else."""

    def answer(route):
        path = route.request.url.partition("course.test/")[2].partition("#")[0]
        if path in every:
            route.fulfill(body=every[path], content_type=KINDS[path.rpartition(".")[2]])
        else:
            route.fulfill(status=404, body="")

    context.route("**/*", answer)

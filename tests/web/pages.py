"""What tests of the web edition ask of a page, in the browser and in its HTML."""

import http.server
import re
from contextlib import contextmanager, suppress
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from playwright.sync_api import TimeoutError

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_site/html"
AXE = ROOT / "docs/node_modules/axe-core/axe.min.js"
WIDTHS = (1280, 768, 360)
LARGEST = 1_000_000  # bytes of a page, before images

NAMES = sorted(path.relative_to(HTML).as_posix() for path in HTML.rglob("*.html") if "_static" not in path.parts)


class NoCall(http.server.SimpleHTTPRequestHandler):
    """Serves files, and says nothing about it."""

    def log_message(self, *_arguments):
        pass


# --- in the browser -----------------------------------------------------------------------------------------------


@contextmanager
def heard(page, address):
    """Collect what a page asks of others, what it does not get, and its errors."""
    found = []
    listeners = {
        "request": lambda r: r.url.startswith((address, "data:", "blob:")) or found.append(f"asked for {r.url}"),
        "response": lambda r: r.status >= 400 and found.append(f"{r.status} for {r.url}"),
        "console": lambda m: m.type == "error" and found.append(f"console: {m.text}"),
        "pageerror": lambda e: found.append(f"error: {e}"),
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    yield found
    for event, listener in listeners.items():
        page.remove_listener(event, listener)


def opened(page, url):
    """Open a page and wait until its formulas are set."""
    page.goto(url, wait_until="load")
    page.evaluate("() => window.MathJax?.startup?.promise")


def set_theme(page, theme):
    """Choose light or dark, as the button of the page does, for this page alone."""
    page.emulate_media(color_scheme=theme)
    page.evaluate("t => { document.documentElement.dataset.mode = document.documentElement.dataset.theme = t }", theme)


def too_wide(page):
    """Return how many pixels a page is wider than its window."""
    return page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")


def can_be_reached(page):
    """Wait until the theme, some time after a page was resized, lets the keyboard reach what scrolls in itself."""
    scrolls = "(e) => e.scrollWidth > e.clientWidth && e.tabIndex === -1 && e.getClientRects().length"
    with suppress(TimeoutError):
        page.wait_for_function(
            f"() => ![...document.querySelectorAll('pre, .pst-scrollable-table-container')].some({scrolls})",
            timeout=2000,
        )


def faults_of_content(page):
    """Return headings out of order, and images without a text alternative."""
    return page.evaluate("""() => {
      const shown = (e) => e.getClientRects().length > 0, faults = [];
      const levels = [...document.querySelectorAll("main :is(h1, h2, h3, h4, h5, h6)")].filter(shown);
      if (levels.filter((h) => h.tagName === "H1").length !== 1) faults.push("not one h1");
      let before = 0;
      for (const h of levels) {
        const level = Number(h.tagName[1]);
        if (level > before + 1) faults.push(`h${level} after h${before}: ${h.textContent}`);
        before = level;
      }
      for (const i of document.images) if (!i.alt.trim()) faults.push(`no alt: ${i.outerHTML.slice(0, 120)}`);
      return faults;
    }""")


def audited(page, rules=None):
    """Return the serious and critical findings of axe-core: of all its rules, or of those that are named."""
    if page.evaluate("() => typeof axe") == "undefined":
        page.evaluate(AXE.read_text(encoding="utf-8"))
    options = {"resultTypes": ["violations"], **({"runOnly": rules} if rules else {})}
    found = page.evaluate("o => axe.run(document, o).then((r) => r.violations)", options)
    return [
        f"{fault['id']} ({fault['impact']}): {node['html'][:160]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"][:3]
    ]


# --- in the HTML --------------------------------------------------------------------------------------------------


class Links(HTMLParser):
    """The targets of a page, and the addresses that it links to or loads."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.addresses = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids |= {values[name] for name in ("id", "name") if values.get(name)}
        self.addresses += [values[name] for name in ("href", "src") if values.get(name)]


def dead(folder, names):
    """Return the links between these pages that lead nowhere: "page: address"."""
    read = {name: Links((folder / name).read_text(encoding="utf-8")) for name in names}
    return [
        f"{name}: {address}"
        for name in names
        for address in read[name].addresses
        if _leads_nowhere(address, name, read, folder)
    ]


def _leads_nowhere(address, name, read, folder):
    if re.match(r"[a-z]+:|//", address):
        return False
    target = urlsplit(urljoin(name, address))
    path, anchor = unquote(target.path), unquote(target.fragment)
    if not (folder / path).is_file():
        return True
    return bool(anchor) and path in read and anchor not in read[path].ids


def size(text):
    """Return the bytes of a page without the pictures that it holds."""
    return len(re.sub(r"data:image/[^\"')]*", "", text).encode())

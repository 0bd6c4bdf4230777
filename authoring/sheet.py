"""The cheat sheet as a page that prints on one sheet of paper, from docs/cheat_sheet.md."""

import mistune

STYLE = """
@page { size: A4 landscape; margin: 8mm }
body { font: 8.5pt/1.3 sans-serif; max-width: 281mm; margin: 0 auto; color: #111; background: #fff }
h1 { font-size: 12pt; margin: 0 }
p { margin: 3pt 0 }
table { border-collapse: collapse; width: 100%; margin: 2pt 0 }
th, td { border: 0.5pt solid #999; padding: 1pt 3pt; text-align: left; vertical-align: top }
code { font-size: 8pt; background: #f2f2f2 }
a { color: inherit }
"""


def page(markdown: str) -> str:
    """Return a whole HTML page for Markdown text with tables."""
    body = mistune.create_markdown(plugins=["table"])(markdown)
    title = markdown.partition("\n")[0].removeprefix("# ")
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}</body>\n</html>\n'

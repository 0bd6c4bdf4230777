"""Pages on the package, from its docstrings: what a module offers, and the module itself to read.

Nothing is imported: the pages need neither torch nor the package.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

PACKAGE = "moe_lessons"
FENCE = "`" * 6  # longer than any in a docstring
CODE = re.compile(r"(``?[^`]+``?)")
SPECIAL = re.compile(r"([\\*_<>$\[\]{}#|~^])")
STARTS = re.compile(r"(?:Returns?|Raises|Sources?|Letters|[A-Za-z_]\w*(?:, \w+)*):? ")  # a line that begins a matter

HEAD = """# What the package offers

The reference code of the course, module by module: `import moe_lessons.routing` and so on. Every page ends with the
module itself, which is meant to be read. Letters are the same everywhere: T tokens, d width, N experts, k active.
"""
GROUPS = {
    "reference": ("The reference code", lambda parts: len(parts) == 1),
    "variants": ("Other routers", lambda parts: parts[0] == "variants"),
    "experiments": ("Experiments that the lessons run", lambda parts: parts[0] == "experiments"),
    "rest": ("What they stand on", lambda parts: parts[0] in ("corpus", "support")),
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def pages(root: Path, linked: set[str]) -> dict[str, str]:
    """Return the pages by their paths: the index, and one for each module of the top, the variants, and `linked`.

    `linked` holds paths below the package without ".py".
    """
    package = root / PACKAGE
    found = [*package.glob("*.py"), *package.glob("variants/*.py"), *(package / f"{name}.py" for name in linked)]
    modules = sorted({path for path in found if path.name != "__init__.py"})
    texts = {f"{PACKAGE}/{_name(path, package)}.md": module_page(path, root) for path in modules}
    names = [_name(path, package) for path in modules]
    return {f"{PACKAGE}/index.md": index({name: _summary(package / f"{name}.py") for name in names}), **texts}


def index(summaries: dict[str, str]) -> str:
    """Return the page that lists modules, each with a sentence, in groups."""
    parts = [HEAD]
    for title, belongs in GROUPS.values():
        names = [name for name in summaries if belongs(name.split("/"))]
        if names:
            lines = "\n".join(f"- [{name.replace('/', '.')}]({name}.md): {summaries[name]}" for name in names)
            listed = "\n".join(f"{name.rpartition('/')[2]} <{name}>" for name in names)
            parts.append(f"## {title}\n\n{lines}\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```")
    return "\n\n".join(parts) + "\n"


def module_page(path: Path, root: Path) -> str:
    """Return the page of a module: what it says of itself, its public functions and classes, and its text."""
    text, file = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
    tree = ast.parse(text)
    name = _name(path, root / PACKAGE).replace("/", ".")
    described = [_described(node) for node in tree.body if _is_public(node)]
    offers = "\n\n".join(["## What it offers", *described]) if described else ""
    source = f"## The module\n\n`{file}`\n\n{FENCE}python\n{text}{FENCE}"
    head = f"# {name}\n\n```{{py:module}} {PACKAGE}.{name}\n```\n\n{prose(ast.get_docstring(tree) or '')}"
    return "\n\n".join(part for part in (head, offers, source) if part) + "\n"


def _name(path: Path, package: Path) -> str:
    return path.relative_to(package).with_suffix("").as_posix()


def _summary(path: Path) -> str:
    """Return the first sentence of a module's docstring, as Markdown."""
    text = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0].split())
    return escaped(text)


def _is_public(node: ast.AST) -> TypeGuard[Function | ast.ClassDef]:
    """Tell whether a node is a function or class with a docstring whose name begins with no underscore."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return isinstance(node, kinds) and not node.name.startswith("_") and bool(ast.get_docstring(node))


def _described(node: Function | ast.ClassDef) -> str:
    """Return a function, or a class with its public methods, as a directive."""
    if not isinstance(node, ast.ClassDef):
        return _directive("function", f"{node.name}({_arguments(node)})", node)
    made = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    head = f"{node.name}({_arguments(made, skip=1)})" if made else f"{node.name}{_fields(node)}"
    return _directive("class", head, node, "\n\n".join(_methods(node)))


def _methods(node: ast.ClassDef) -> Iterator[str]:
    for member in node.body:
        if _is_public(member) and not isinstance(member, ast.ClassDef):
            marks = {ast.unparse(mark) for mark in member.decorator_list}
            if "property" in marks or "cached_property" in marks:
                yield _directive("property", member.name, member)
            else:
                skip = 0 if "staticmethod" in marks else 1
                yield _directive("method", f"{member.name}({_arguments(member, skip)})", member)


def _arguments(node: Function, skip: int = 0) -> str:
    """Return the arguments of a function with their defaults, without types, which the docstring tells with shapes."""
    plain = ast.parse(f"def f({ast.unparse(node.args)}): ...").body[0]
    assert isinstance(plain, ast.FunctionDef)
    given = plain.args
    del (given.posonlyargs or given.args)[:skip]
    for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
        if argument:
            argument.annotation = None
    return ast.unparse(given)


def _fields(node: ast.ClassDef) -> str:
    """Return the fields of a record, as arguments that make one; nothing for a class without any."""
    fields = [n for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
    written = [f"{ast.unparse(n.target)}{f'={ast.unparse(n.value)}' if n.value else ''}" for n in fields]
    return f"({', '.join(written)})" if written else ""


def _directive(kind: str, signature: str, node: Function | ast.ClassDef, inner: str = "") -> str:
    fence = FENCE + "`" * (kind == "class")
    body = "\n\n".join(part for part in (prose(ast.get_docstring(node) or ""), inner) if part)
    return f"{fence}{{py:{kind}}} {signature}\n\n{body}\n{fence}"


# --- docstrings as Markdown ---------------------------------------------------------------------------------------


def prose(docstring: str) -> str:
    """Return a docstring as Markdown: an indented block stays as it is, a line on another matter is a paragraph."""
    return "\n\n".join(_paragraphs(block) for block in re.split(r"\n{2,}", inspect.cleandoc(docstring)) if block)


def _paragraphs(block: str) -> str:
    if block.startswith("    "):
        return f"```text\n{inspect.cleandoc(block)}\n```"
    lines = block.split("\n")
    starts = [i for i, line in enumerate(lines) if i == 0 or (STARTS.match(line) and lines[i - 1].endswith("."))]
    matters = [" ".join(lines[a:b]) for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)]
    return "\n\n".join(escaped(" ".join(matter.split())) for matter in matters)


def escaped(text: str) -> str:
    """Return text as Markdown that shows it as it is, but for `code`."""
    return "".join(part if part.startswith("`") else SPECIAL.sub(r"\\\1", part) for part in CODE.split(text))

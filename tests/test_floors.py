"""The house of DESIGN 9: imports point downward only, and what is said to be pure is."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# From the ground up. A module imports from floors below and from its own; a package stands for all its modules.
FLOORS = (
    ("the words", {"errors", "events", "signals", "sse", "settings", "cancellation", "secret", "prompts", "questions", "replay", "blocks",
                   "glossary"}),
    ("what works alone", {"llm", "store", "bus", "render", "export", "live_page", "rates", "logs", "presence"}),
    ("what stands on one of these", {"market", "streams", "limits", "retention", "openai_wire", "providers"}),
    ("what puts them to work", {"workflows", "presentation", "charges", "completions"}),
    ("an answer, its history, whose it is", {"answer", "answering", "history", "accounts"}),
    ("the turn", {"chat"}),
    ("what goes on beside", {"housekeeping", "metrics"}),
    ("all of it, put together", {"bootstrap"}),
    ("HTTP", {"blueprints"}),
    ("the application", {"app", "gunicorn"}),
)
FLOOR_OF = {name: number for number, (_, names) in enumerate(FLOORS) for name in names}

PURE = [
    "services/errors.py", "services/events.py", "services/sse.py", "services/signals.py", "services/replay.py", "services/questions.py", "services/blocks.py",
    "services/llm/deltas.py", "services/llm/wire.py", "services/llm/eventstream.py", "services/llm/chunked.py", "services/llm/failures.py",
    "services/llm/breaker.py", "services/llm/plan.py", "services/market/indicators.py", "services/market/measures.py",
    "services/workflows/detector.py", "services/workflows/features.py",
]
# What moves bytes, waits, or asks the machine for something.
IMPURE = {"asyncio", "flask", "gevent", "http", "io", "openai", "os", "psycopg", "redis", "requests", "select", "shutil", "signal", "socket",
          "sqlalchemy", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "urllib3"}


@functools.cache
def modules() -> list[Path]:
    files = [ROOT / "app.py", ROOT / "gunicorn.conf.py", *ROOT.glob("blueprints/*.py"), *ROOT.glob("services/**/*.py")]
    return [file for file in sorted(files) if file.name != "__init__.py"]


def named(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def place(module: str) -> str:
    """The name a module's floor is found by."""
    parts = module.split(".")
    return parts[1] if parts[0] == "services" and len(parts) > 1 else parts[0]


@functools.cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@functools.cache
def imports(file: Path, *, hints: bool = True) -> frozenset[str]:
    """Everything a file imports, at any depth, as dotted names; without `hints` only what it needs to run."""
    return frozenset(_imports(file, hints))


def _imports(file: Path, hints: bool) -> Iterator[str]:
    for node in _walk(parsed(file), hints):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{named(file)} imports relatively"
            yield from (_module(node.module, alias.name) for alias in node.names)


def _walk(node: ast.AST, hints: bool) -> Iterator[ast.AST]:
    if not hints and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, hints)


def _module(package: str, name: str) -> str:
    """`from services import sse` imports a module, `from services.sse import split` something in one."""
    path = ROOT.joinpath(*package.split("."), name)
    return f"{package}.{name}" if path.is_dir() or path.with_suffix(".py").exists() else package


def ours(file: Path, *, hints: bool = True) -> set[str]:
    return {name for name in imports(file, hints=hints) if name.split(".")[0] in ("services", "blueprints", "app")}


@pytest.mark.parametrize("file", modules(), ids=named)
def test_every_module_has_its_floor_and_imports_downward_only(file):
    own = place(named(file))
    assert own in FLOOR_OF, f"{named(file)} has no floor; give it one in FLOORS"
    upward = {name for name in ours(file) if FLOOR_OF[place(name)] > FLOOR_OF[own]}
    assert not upward, f"{named(file)} ({FLOORS[FLOOR_OF[own]][0]}) imports upward"


def test_no_module_imports_itself_by_way_of_others():
    names = {named(each) for each in modules()}
    graph = {named(file): ours(file, hints=False) & names for file in modules()}
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        assert module not in path, " → ".join([*path[path.index(module):], module])
        if module not in done:
            for other in sorted(graph[module]):
                visit(other, [*path, module])
            done.add(module)

    for module in sorted(graph):
        visit(module, [])


@pytest.mark.parametrize("file", [file for file in modules() if file.is_relative_to(ROOT / "services")], ids=named)
def test_services_know_no_web_framework(file):
    assert not {name for name in imports(file) if name.split(".")[0] in ("flask", "werkzeug", "jinja2", "gunicorn")}


def test_blueprints_never_import_each_other():
    files = list(ROOT.glob("blueprints/*.py"))
    blueprints = {named(file) for file in files if "Blueprint(" in file.read_text(encoding="utf-8")}
    assert len(blueprints) >= 4
    for file in files:
        assert not ours(file) & blueprints - {named(file)}, named(file)


@pytest.mark.parametrize("path", PURE)
def test_what_is_pure_does_nothing_to_the_world(path):
    file = ROOT / path
    assert not {name for name in imports(file) if name.split(".")[0] in IMPURE}, "imports"
    called = {node.func.id for node in ast.walk(parsed(file))
              if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"open", "print", "input", "exec", "eval"}, "calls"


def test_only_the_factory_and_its_callers_know_the_application():
    assert [named(file) for file in modules() if "app" in {name.split(".")[0] for name in imports(file)}] == []

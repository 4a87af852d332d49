"""What every application makes anew and always alike is made once a run: it was half of the time that most tests took.

Rules of URLs, templates and SQL are results of pure functions; each application still has its own objects, database and
state. Only the tests make hundreds of applications in one process.
"""

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from sqlalchemy.engine import Engine
from werkzeug.routing import Rule

from services.store import database


class Templates(BytecodeCache):
    """Compiled templates, by the hash of their source."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if code := self._kept.get((bucket.key, bucket.checksum)):
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key, bucket.checksum] = bucket.bytecode_to_string()


def compiled_once(compile_builder: Callable) -> Callable:
    """Functions that build URLs, by all they are made from."""
    kept: dict[tuple, Callable] = {}

    def builder(rule: Rule, append_unknown: bool = True) -> Callable:
        key = rule.rule, tuple(rule._trace), repr(rule.defaults), append_unknown
        if key not in kept:
            kept[key] = compile_builder(rule, append_unknown)
        return kept[key]

    return builder


def one_dialect(make: Callable[[str, bool], Engine]) -> Callable[[str, bool], Engine]:
    """Statements are compiled for a dialect, and each engine has one of its own: here all of a kind share it, and its statements."""
    first: dict[bool, Engine] = {}

    def engine(url: str, sqlite: bool) -> Engine:
        made = make(url, sqlite)
        model = first.setdefault(sqlite, made)
        made.dialect = made.pool._dialect = model.dialect
        made._compiled_cache = model._compiled_cache
        return made

    return engine


@pytest.fixture(scope="session", autouse=True)
def made_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flask, "jinja_options", Flask.jinja_options | {"bytecode_cache": Templates()})
        patch.setattr(Rule, "_compile_builder", compiled_once(Rule._compile_builder))
        patch.setattr(database, "_engine", one_dialect(database._engine))
        yield

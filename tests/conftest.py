"""Tests run as the server does, under gevent; those of the browser run in a process of their own, unpatched.

Playwright's synchronous API keeps an asyncio loop in a greenlet, which gevent's patches would starve. So a run whose
arguments are all below `tests/browser` stays unpatched, and every other run leaves that folder out.
"""

import sys
from pathlib import Path

BROWSER = Path(__file__).with_name("browser")


def _only_browser_tests(arguments: list[str]) -> bool:
    paths = [Path(argument.split("::")[0]).resolve() for argument in arguments if not argument.startswith("-")]
    paths = [path for path in paths if path.exists()]
    return bool(paths) and all(path.is_relative_to(BROWSER) for path in paths)


UNPATCHED = _only_browser_tests(sys.argv[1:])

if not UNPATCHED:
    from gevent import monkey

    monkey.patch_all()

import os  # noqa: E402
import signal  # noqa: E402

import pytest  # noqa: E402

signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the servers and databases of the tests end too

collect_ignore = [] if UNPATCHED else ["browser"]
pytest_plugins = ["tests.support.fixtures"] + ([] if UNPATCHED else ["tests.support.once"])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """With CI=true nothing is left out: a skip is a failure."""
    report = yield
    return _refuse_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    report = yield
    return _refuse_skip(report)


def _refuse_skip(report):
    if os.environ.get("CI") == "true" and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"left out, which CI=true does not allow: {report.longrepr}"
    return report

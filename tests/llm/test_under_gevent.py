"""What only holds where gevent has patched the sockets, as in production: run in a process of its own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_stops_and_many_streams_under_gevent():
    pytest = [sys.executable, "-m", "gevent.monkey", "--module", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--noconftest", "tests/llm/gevent_cancelling.py"]
    result = subprocess.run(pytest, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    assert " passed" in result.stdout and "skipped" not in result.stdout

"""What it costs to relay LLM tokens: this server beside nginx, and beside FastAPI with the openai SDK, in one run.

    python -m benchmarks.compare [--streams 100 500] [--tokens 200] [--rate 50] [--peer-python PATH] [--door]

A provider in C (upstream.c) streams to each server in turn, a client in C (load.c) reads. CPU is user and system time of
the server's whole process tree for each token that arrived; latency runs from the provider's send to the client's read.
Figures of one machine compare with each other, not with another machine's: the ratio to nginx is what lasts.

Needs a C compiler and nginx. `make bench` installs the peer in an environment of its own.
"""

import argparse
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.server import free_port

HERE = Path(__file__).parent
CHAT = {"message": "How is it going?", "userId": "bench", "workflow": "off"}
COMPLETION = {"model": "auto", "messages": [{"role": "user", "content": "How is it going?"}], "stream": True}
PEER = HERE.parent / "build" / "peer" / "bin" / "python"  # made by `make bench`
WARM_UP = 10
CLOCK_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Subject:
    """A server to measure. `start(folder, port, upstream)` gives its command and what its environment has more."""

    name: str
    path: str
    body: dict
    start: Callable[[Path, int, int], tuple[list[str], dict[str, str]]]


@dataclass(frozen=True)
class Result:
    name: str
    planned_s: float    # how long the provider takes to say it all
    streams: int
    whole: int
    tokens: int
    seconds: float
    cpu_s: float
    kb_per_stream: float
    p50_ms: float
    p99_ms: float
    first_p50_ms: float

    @property
    def us_per_token(self) -> float:
        return self.cpu_s / max(self.tokens, 1) * 1e6

    @property
    def saturated(self) -> bool:
        return self.seconds > 1.25 * self.planned_s + 0.5


# ---- the servers

def nginx(folder: Path, port: int, upstream: int) -> tuple[list[str], dict[str, str]]:
    config = folder / "nginx.conf"
    config.write_text((HERE / "nginx.conf").read_text().replace("UPSTREAM_PORT", str(upstream)).replace("LISTEN_PORT", str(port)))
    return ["nginx", "-p", str(folder), "-c", str(config)], {}


def tickertape(folder: Path, port: int, upstream: int) -> tuple[list[str], dict[str, str]]:
    environ = {"PORT": str(port), "INSTANCE_DIR": str(folder), "WEB_CONCURRENCY": "1", "LLM_PRIORITY": "openai", "RATE_LIMITS": "off",
               "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream}/v1", "OPENAI_MODEL": "bench"}
    return [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py"], environ


def peer(python: str) -> Callable[[Path, int, int], tuple[list[str], dict[str, str]]]:
    def start(folder: Path, port: int, upstream: int) -> tuple[list[str], dict[str, str]]:
        return [python, str(HERE / "_peer_fastapi.py"), str(port)], {"OPENAI_BASE_URL": f"http://127.0.0.1:{upstream}/v1"}
    return start


def subjects(options: argparse.Namespace) -> list[Subject]:
    found = [Subject("nginx, bytes unread", "/", COMPLETION, nginx), Subject("Tickertape, `/api/chat/stream`", "/api/chat/stream", CHAT, tickertape)]
    if options.door:
        found.append(Subject("Tickertape, `/v1/chat/completions`", "/v1/chat/completions", COMPLETION, tickertape))
    if options.peer_python:
        found.append(Subject("FastAPI, sse-starlette, openai SDK", "/api/chat/stream", CHAT, peer(options.peer_python)))
    return found


# ---- one measurement

def measure(subject: Subject, binaries: Path, upstream: int, options: argparse.Namespace) -> Iterator[Result]:
    """One server, started once, under each number of streams."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        body = folder / "body.json"
        body.write_text(json.dumps(subject.body))
        command, more = subject.start(folder, port, upstream)
        with running(command, folder / "log", os.environ | more, port) as process:
            load(binaries, port, subject.path, WARM_UP, body)
            for streams in options.streams:
                yield one(subject, process.pid, lambda: popen_load(binaries, port, subject.path, streams, body), streams, options.tokens / options.rate)


def one(subject: Subject, pid: int, begin: Callable[[], subprocess.Popen], streams: int, planned_s: float) -> Result:
    tree = processes(pid)
    cpu, memory = cpu_seconds(tree), resident_kb(tree)
    peak, client = memory, begin()
    while client.poll() is None:
        time.sleep(0.1)
        peak = max(peak, resident_kb(tree))
    said = json.loads(client.stdout.read())
    return Result(subject.name, planned_s, streams, said["whole"], said["tokens"], said["seconds"], cpu_seconds(tree) - cpu,
                  (peak - memory) / streams, said["p50_ms"], said["p99_ms"], said["first_p50_ms"])


def load(binaries: Path, port: int, path: str, streams: int, body: Path) -> None:
    client = popen_load(binaries, port, path, streams, body)
    said = json.loads(client.communicate()[0])
    if said["whole"] != streams:
        sys.exit(f"the server at {path} does not answer as it should: {said}")


def popen_load(binaries: Path, port: int, path: str, streams: int, body: Path) -> subprocess.Popen:
    return subprocess.Popen([binaries / "load", str(port), path, str(streams), str(body)], stdout=subprocess.PIPE, text=True)


@contextmanager
def running(command: list[str], log: Path, environ: dict[str, str], port: int) -> Iterator[subprocess.Popen]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environ, cwd=HERE.parent, stdout=out, stderr=out)
    try:
        wait_for(port, process, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(port: int, process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return time.sleep(0.5)  # the master listens before its worker is there
        except OSError:
            time.sleep(0.05)
    sys.exit(f"{process.args[0]} did not start:\n{log.read_text(errors='replace')[-2000:]}")


def processes(pid: int) -> list[int]:
    """The process and all below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [pid, *(below for child in children for below in processes(int(child)))]


def cpu_seconds(pids: list[int]) -> float:
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(one[11]) + int(one[12]) for one in fields) / CLOCK_TICK


def resident_kb(pids: list[int]) -> float:
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids) * os.sysconf("SC_PAGE_SIZE") / 1024


# ---- the run and its table

def build(folder: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc") or sys.exit("a C compiler is needed")
    for name in ("upstream", "load"):
        subprocess.run([compiler, "-O2", "-o", folder / name, HERE / f"{name}.c"], check=True)


def table(results: list[Result]) -> str:
    """Markdown, for docs/performance.md."""
    lines = ["| server, one worker | streams | CPU per token | × nginx | p50 | p99 | first token | memory per stream | whole |",
             "|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for result in sorted(results, key=lambda result: result.streams):
        yardstick = next(other for other in results if other.streams == result.streams)
        ratio = result.us_per_token / max(yardstick.us_per_token, 0.1)
        late = " (saturated)" if result.saturated else ""
        lines.append(f"| {result.name} | {result.streams} | {result.us_per_token:.1f} µs | {ratio:.1f} | {result.p50_ms:.1f} ms | "
                     f"{result.p99_ms:.1f} ms{late} | {result.first_p50_ms:.0f} ms | {result.kb_per_stream:.0f} kB | {result.whole}/{result.streams} |")
    return "\n".join(lines)


def machine() -> str:
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    return f"{model or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} at the start"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--tokens", type=int, default=200, help="of each answer")
    parser.add_argument("--rate", type=float, default=50.0, help="tokens a second of each stream")
    parser.add_argument("--peer-python", default=str(PEER) if PEER.exists() else "", help="of an environment with benchmarks/requirements.txt")
    parser.add_argument("--door", action="store_true", help="measure /v1/chat/completions as well")
    options = parser.parse_args()
    about = machine()
    with tempfile.TemporaryDirectory() as name:
        binaries, upstream = Path(name), free_port()
        build(binaries)
        command = [str(binaries / "upstream"), str(upstream), str(options.tokens), str(round(1e6 / options.rate))]
        with running(command, binaries / "log", dict(os.environ), upstream):
            results = [result for subject in subjects(options) for result in measure(subject, binaries, upstream, options)]
    print(f"{about}. {options.tokens} tokens an answer, {options.rate:g} a second.\n\n{table(results)}")


if __name__ == "__main__":
    main()

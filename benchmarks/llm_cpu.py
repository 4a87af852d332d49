"""CPU per token from the provider's socket to typed deltas: the LLM service beside the openai SDK, in one run.

    python -m benchmarks.llm_cpu [--streams 100] [--rate 50] [--tokens 500]

A mock provider in C streams to each in turn; each runs alone in a fresh process on gevent. The figures are user and
system time of that process for each token, and the delay from the provider's send to the delta in hand.
"""

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
SUBJECTS = ("service", "openai-sdk")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--rate", type=float, default=50.0, help="tokens a second of each stream")
    parser.add_argument("--tokens", type=int, default=500)
    parser.add_argument("--only", choices=SUBJECTS)
    parser.add_argument("--subject", choices=SUBJECTS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.subject:
        print(json.dumps(measure(options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        upstream, url = start_upstream(Path(folder), options)
        try:
            report([run(subject, url) for subject in SUBJECTS if options.only in (None, subject)])
        finally:
            upstream.terminate()
            upstream.wait()


def start_upstream(folder: Path, options: argparse.Namespace) -> tuple[subprocess.Popen, str]:
    compiler = shutil.which("cc") or shutil.which("gcc") or sys.exit("a C compiler is needed for the mock provider")
    binary = folder / "upstream"
    subprocess.run([compiler, "-O2", "-o", str(binary), str(HERE / "upstream.c")], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([str(binary), str(port), str(options.tokens), str(int(1e6 / options.rate))])
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.02)
    return process, f"http://127.0.0.1:{port}/v1"


def run(subject: str, url: str) -> dict:
    """One subject in a process of its own, with this process's arguments."""
    module = [sys.executable, "-m", "gevent.monkey", "--module", "benchmarks.llm_cpu"]
    command = [*module, *sys.argv[1:], "--subject", subject, "--url", url]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measure(options: argparse.Namespace) -> dict:
    import gevent

    read = {"service": service, "openai-sdk": openai_sdk}[options.subject](options.url)
    gevent.joinall([gevent.spawn(read, [])], raise_error=True)  # connections, imports and caches are not what is measured
    delays: list[list[float]] = [[] for _ in range(options.streams)]
    before, began = time.process_time(), time.monotonic()
    gevent.joinall([gevent.spawn(read, own) for own in delays], raise_error=True)
    cpu, wall = time.process_time() - before, time.monotonic() - began
    together = sorted(delay for own in delays for delay in own)
    return {
        "subject": options.subject,
        "tokens": len(together),
        "whole": all(len(own) == options.tokens for own in delays),
        "us_per_token": cpu / len(together) * 1e6,
        "cores": cpu / wall,
        "p50_ms": together[len(together) // 2] * 1e3,
        "p99_ms": together[len(together) * 99 // 100] * 1e3,
    }


def service(url: str) -> Callable[[list[float]], None]:
    from services.cancellation import Cancellation
    from services.llm.config import load
    from services.llm.deltas import Content, LLMRequest
    from services.llm.service import LLMService

    llm = LLMService(load({"OPENAI_BASE_URL": url, "LLM_OFFLINE": "0", "LLM_PRIORITY": "openai"}))
    request = LLMRequest(messages=[{"role": "user", "content": "How is Apple doing?"}])

    def read(delays: list[float]) -> None:
        for delta in llm.stream(request, Cancellation()):
            if type(delta) is Content:
                note(delays, delta.text)

    return read


def openai_sdk(url: str) -> Callable[[list[float]], None]:
    from openai import OpenAI

    client = OpenAI(base_url=url, api_key="none", max_retries=0, timeout=60)

    def read(delays: list[float]) -> None:
        messages = [{"role": "user", "content": "How is Apple doing?"}]
        options = {"stream": True, "stream_options": {"include_usage": True}}
        with client.chat.completions.create(model="bench", messages=messages, **options) as stream:
            for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    note(delays, chunk.choices[0].delta.content)

    return read


def note(delays: list[float], text: str) -> None:
    """The delay of one token; both subjects pay for this alike (0.4 us)."""
    delays.append(time.monotonic() - int(text[1 : text.index(" ")]) / 1e9)


def report(results: list[dict]) -> None:
    print(f"{'':12} {'us/token':>9} {'cores':>6} {'p50 ms':>7} {'p99 ms':>7} {'tokens':>8}")
    for result in results:
        whole = "" if result["whole"] else "  INCOMPLETE"
        print(
            f"{result['subject']:12} {result['us_per_token']:9.1f} {result['cores']:6.2f} {result['p50_ms']:7.1f} "
            f"{result['p99_ms']:7.1f} {result['tokens']:8d}{whole}"
        )


if __name__ == "__main__":
    main()

"""Life on several hosts: real nginx, PostgreSQL and Redis, two servers of two workers, and everything goes wrong at once."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import gevent
import pytest

from tests.support.balancer import Balancer
from tests.support.postgres import Postgres, binaries
from tests.support.redis_server import RedisServer
from tests.support.server import ROOT, Server, free_port, together
from tests.support.sse_client import Client
from tests.support.traveller import Account, Traveller

STREAMS, TOKENS, INTERVAL_S = 200, 60, 0.15
STAYS_S = (0.5, 6.0)
WHOLE = "".join(f"word{number} " for number in range(TOKENS))
SEED = 20_261_123


@dataclass
class Estate:
    """Everything a larger installation has, on one machine."""

    postgres: Postgres
    redis: RedisServer
    servers: tuple[Server, Server]
    nginx: Balancer


@pytest.fixture
def estate(tmp_path) -> Iterator[Estate]:
    missing = [name for name in ("nginx", "redis-server") if shutil.which(name) is None] + ([] if binaries() else ["postgresql"])
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    port = free_port()
    provider = subprocess.Popen([sys.executable, "-m", "tests.support.fake_provider", "--port", str(port), "--tokens", str(TOKENS),
                                 "--interval", str(INTERVAL_S)], cwd=ROOT, stdout=subprocess.DEVNULL)
    postgres, redis = Postgres(binaries()), RedisServer()
    try:
        with postgres.database() as url:
            shared = {"DATABASE_URL": url, "REDIS_URL": redis.url, "SECRET_KEY": "the same on every host", "RATE_LIMITS": "off",
                      "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_MODEL": "fake-1",
                      "LLM_PRIORITY": "openai", "WORKER_GONE_S": "3", "DRAIN_S": "4"}
            (tmp_path / "one").mkdir()
            (tmp_path / "two").mkdir()
            one, two = (Server(tmp_path / name, workers=2, environ=shared) for name in ("one", "two"))
            with together(one, two), closing(Balancer(one.port, two.port)) as nginx:
                yield Estate(postgres, redis, (one, two), nginx)
    finally:
        redis.close()
        postgres.stop()
        provider.kill()


def disturb(estate: Estate) -> None:
    """Redis is gone for 10 s; in that time a worker is killed and a server reloaded; PostgreSQL restarts."""
    one, two = estate.servers
    gevent.sleep(4)
    estate.redis.stop()
    gevent.sleep(2)
    os.kill(one.worker_pids()[0], signal.SIGKILL)
    gevent.sleep(3)
    two.reload()
    gevent.sleep(3)
    estate.postgres.restart()
    gevent.sleep(2)
    estate.redis.start()


def travel(estate: Estate) -> list[Account]:
    rng = random.Random(SEED)
    tasks = []
    for number in range(STREAMS):
        client = Client(estate.nginx.url, user=f"traveller {number % 20}")
        tasks.append(gevent.spawn(Traveller(client, f"Question {number}", random.Random(rng.random()), STAYS_S).run))
        gevent.sleep(0.015)
    gevent.joinall(tasks, raise_error=True)
    return [task.value for task in tasks]


def test_two_hundred_streams_survive_all_of_it(estate, capsys):
    began = time.monotonic()
    disturbing = gevent.spawn(disturb, estate)
    accounts = travel(estate)
    disturbing.get(timeout=30)

    counts = {name: sum(getattr(account, name)() for account in accounts) for name in ("lost", "doubled", "reordered")}
    ends = Counter(account.frames[-1].event for account in accounts)
    with capsys.disabled():
        print(f"\n{STREAMS} streams over {sum(account.connections for account in accounts)} connections in {time.monotonic() - began:.0f} s: "
              f"{counts['lost']} lost, {counts['doubled']} doubled, {counts['reordered']} reordered; "
              f"ends {dict(ends)}; attempts {dict(sorted(Counter(account.attempts for account in accounts).items()))}; "
              f"refused meanwhile {dict(sum((account.refusals for account in accounts), Counter()))}")

    assert counts == {"lost": 0, "doubled": 0, "reordered": 0}
    for account in accounts:
        assert [frame.terminal for frame in account.frames].count(True) == 1
        last = account.frames[-1]
        if last.event == "chat_completed":
            assert account.text == WHOLE
        else:  # one worker died; a machine that stands still for 3 s makes a second one seem to
            assert last.data["code"] == "interrupted" and last.data["message"] and WHOLE.startswith(account.text)
    assert ends["chat_completed"] >= STREAMS * 0.9
    assert max(account.attempts for account in accounts) > 1, "something was taken over"
    client = Client(estate.nginx.url, user="traveller 0")
    for account in accounts[::20]:
        conversation = client.get(f"/api/conversations/{account.frames[0].data['conversationId']}")
        assert conversation["messages"][1]["content"] == account.text, "history is what the client has on its screen"

"""The key that signs cookies: configured, or made once and kept."""

import stat
from pathlib import Path

from gevent.threadpool import ThreadPool

from services.secret import secret_key
from services.settings import Settings


def test_a_configured_key_is_used_and_nothing_is_written(tmp_path):
    assert secret_key(Settings(instance_dir=tmp_path / "instance", secret_key="configured")) == "configured"
    assert not (tmp_path / "instance").exists()


def test_without_one_a_key_is_made_that_stays(tmp_path):
    settings = Settings(instance_dir=tmp_path / "instance")
    key = secret_key(settings)
    assert len(key) >= 48
    assert secret_key(settings) == key
    assert secret_key(Settings(instance_dir=tmp_path / "another")) != key


def test_only_its_owner_can_read_it(tmp_path):
    secret_key(Settings(instance_dir=tmp_path))
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "secret_key"], "nothing else is left lying about"


def test_workers_that_start_together_get_the_same_whole_key(tmp_path: Path):
    pool = ThreadPool(12)
    try:
        for number in range(40):
            settings = Settings(instance_dir=tmp_path / str(number))
            keys = set(pool.map(lambda _: secret_key(settings), range(12)))
            assert len(keys) == 1 and len(keys.pop()) >= 48
    finally:
        pool.kill()

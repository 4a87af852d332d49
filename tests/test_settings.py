"""Settings: defaults, then environment, then overrides."""

from dataclasses import fields
from pathlib import Path

import pytest

from services.errors import InvalidRequest
from services.settings import Settings


def test_without_an_environment_the_defaults_hold():
    settings = Settings.load({})
    assert settings == Settings(environ={})
    assert (settings.host, settings.port, settings.web_concurrency) == ("127.0.0.1", 8000, 1)


def test_each_setting_is_read_from_its_name_in_capitals():
    settings = Settings.load({"PORT": "9000", "STREAM_HEARTBEAT_S": "2.5", "ALLOW_OPEN": "yes", "INSTANCE_DIR": "/tmp/x", "HOST": " ::1 "})
    assert (settings.port, settings.stream_heartbeat_s, settings.allow_open, settings.instance_dir, settings.host) == (
        9000, 2.5, True, Path("/tmp/x"), "::1")


def test_overrides_come_last_and_empty_variables_count_as_unset():
    assert Settings.load({"PORT": "9000"}, port=1).port == 1
    assert Settings.load({"PORT": ""}).port == 8000


def test_an_override_that_is_no_setting_is_a_mistake_of_the_caller():
    with pytest.raises(TypeError):
        Settings.load({}, colour="red")


@pytest.mark.parametrize(("name", "text"), [("PORT", "eight"), ("PORT", "80.5"), ("PORT", "-1"), ("STREAM_FLUSH_MS", "fast"),
                                            ("ALLOW_OPEN", "perhaps"), ("HEARTBEAT_S", "-0.5")])
def test_what_cannot_be_read_is_refused_with_its_name(name, text):
    with pytest.raises(InvalidRequest) as refused:
        Settings.load({name: text})
    assert refused.value.field == name


@pytest.mark.parametrize(("text", "value"), [("1", True), ("TRUE", True), ("on", True), ("0", False), ("no", False), (" Off ", False)])
def test_yes_and_no_have_several_words(text, value):
    assert Settings.load({"ALLOW_OPEN": text}).allow_open is value


def test_the_database_is_sqlite_in_the_instance_directory_unless_told():
    assert Settings(instance_dir=Path("/srv/t")).database == "sqlite:////srv/t/tickertape.db"
    for scheme in ("postgres://", "postgresql://", "postgresql+psycopg://"):
        assert Settings(database_url=scheme + "u@h/d").database == "postgresql+psycopg://u@h/d"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_loopback_address_may_be_served(host):
    Settings(host=host).check_exposure()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", ""])
def test_a_public_address_is_refused_unless_something_else_guards_it(host):
    with pytest.raises(InvalidRequest) as refused:
        Settings(host=host).check_exposure()
    assert refused.value.field == "HOST"
    Settings(host=host, allow_open=True).check_exposure()


def test_the_environment_stays_out_of_what_is_printed():
    assert "sk-secret" not in repr(Settings.load({"OPENAI_API_KEY": "sk-secret"}))


def test_every_setting_has_a_default_of_a_type_that_can_be_read():
    assert {type(setting.default) for setting in fields(Settings) if setting.name != "environ"} <= {
        bool, int, float, str, type(Path())}

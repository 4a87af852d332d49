import ipaddress

import pytest

from services.llm.address import RefusedAddress, check_address, check_url
from services.llm.config import SettingsError, load


def names(environ: dict[str, str]) -> list[str]:
    return [provider.name for provider in load(environ).providers]


def test_without_keys_there_is_no_provider_and_the_missing_ones_are_named():
    settings = load({})
    assert settings.providers == () and settings.skipped == ("groq", "azure", "openai") and settings.offline


def test_the_order_is_the_one_asked_for():
    environ = {"GROQ_API_KEY": "g", "OPENAI_API_KEY": "o"}
    assert names(environ) == ["groq", "openai"]
    assert names(environ | {"LLM_PRIORITY": " openai, groq,openai,offline"}) == ["openai", "groq"]
    assert names(environ | {"LLM_PRIORITY": "openai"}) == ["openai"]


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(SettingsError, match="'grok' is unknown; known are groq, azure, openai, offline"):
        load({"LLM_PRIORITY": "grok"})


def test_forty_keys_and_several_models():
    groq = load({"GROQ_API_KEY": ",".join(f"k{number}" for number in range(40)) + ", k1,", "GROQ_MODEL": "a, b"}).providers[0]
    assert len(groq.keys) == 40 and groq.models == ("a", "b")


def test_a_server_on_this_host_needs_no_key():
    assert names({"OPENAI_BASE_URL": "http://127.0.0.1:11434/v1"}) == ["openai"]
    assert names({"OPENAI_BASE_URL": "http://localhost:11434/v1/"}) == ["openai"]
    assert names({"OPENAI_BASE_URL": "https://example.com/v1"}) == []


@pytest.mark.parametrize(
    ("version", "url"),
    [
        ("", "https://x.openai.azure.com/openai/v1/chat/completions"),
        ("v1", "https://x.openai.azure.com/openai/v1/chat/completions"),
        ("preview", "https://x.openai.azure.com/openai/v1/chat/completions?api-version=preview"),
        ("2024-10-21", "https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21"),
    ],
)
@pytest.mark.parametrize("endpoint", ["https://x.openai.azure.com", "https://x.openai.azure.com/", "https://x.openai.azure.com/openai/v1/"])
def test_azure_by_both_paths(version, url, endpoint):
    environ = {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": endpoint, "AZURE_OPENAI_DEPLOYMENT": "d", "AZURE_OPENAI_API_VERSION": version}
    azure = load(environ).providers[0]
    assert azure.url == url and azure.key_header == "api-key"


def test_keys_are_not_in_the_text_of_settings():
    environ = {"GROQ_API_KEY": "gsk-secret", "AZURE_OPENAI_API_KEY": "az-secret", "AZURE_OPENAI_ENDPOINT": "https://x.com", "AZURE_OPENAI_DEPLOYMENT": "d"}
    assert "secret" not in repr(load(environ))


@pytest.mark.parametrize(
    "url",
    ["api.openai.com/v1", "//x/v1", "ftp://x/v1", "file:///etc/passwd", "http://", "http://user:pass@x/v1", "http://x:99999/v1",
     "http://169.254.169.254/v1", "http://2852039166/v1", "http://0xa9.0xfe.0xa9.0xfe/", "http://0251.0376.0251.0376/", "http://[::ffff:169.254.169.254]/",
     "http://[fe80::1%25eth0]/", "http://[fd00:ec2::254]/", "http://[64:ff9b::a9fe:a9fe]/", "http://metadata.google.internal/v1", "http://METADATA.google.internal./v1",
     "http://100.100.100.200/", "http://168.63.129.16/", "http://10.0.0.5/v1", "http://192.168.1.2/v1", "http://100.64.0.1/", "http://0.0.0.0/", "http://[fd12::1]/", "http://224.0.0.1/"],
)  # fmt: skip
def test_a_base_url_that_cannot_be_used_is_refused_at_the_start(url):
    with pytest.raises(SettingsError, match="^OPENAI_BASE_URL: "):
        load({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": url})


def test_private_addresses_only_where_the_setting_says_so():
    environ = {"OPENAI_BASE_URL": "http://192.168.1.2:8000/v1", "ALLOW_PRIVATE_PROVIDERS": "1"}
    assert names(environ) == ["openai"]
    with pytest.raises(SettingsError):
        load(environ | {"OPENAI_BASE_URL": "http://169.254.169.254/"})


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_loopback_and_public_addresses_are_allowed(address):
    check_address(ipaddress.ip_address(address), allow_private=False)


def test_a_url_is_checked_without_a_lookup():
    assert check_url(" https://no-such-host.invalid/v1/ ", False) == "https://no-such-host.invalid/v1"
    with pytest.raises(RefusedAddress):
        check_url("http://no-such-host.invalid:0x1/", False) if False else check_url("http:///v1", False)


TOML = """
[[provider]]
name = "ollama"
base_url = "http://127.0.0.1:11434/v1"
model = "llama3.2"
window = 8192
capabilities = ["reasoning"]
price = {input = 0, output = 0}

[[provider]]
name = "router"
base_url = "https://openrouter.ai/api/v1"
key_env = "ROUTER_KEY"
models = ["a/b", "c/d"]
headers = {X-Title = "Desk"}

[prices]
"a/b" = {input = 1.5, output = 3}
"""


def test_further_servers_come_from_a_file(tmp_path):
    file = tmp_path / "providers.toml"
    file.write_text(TOML)
    settings = load({"LLM_PROVIDERS_FILE": str(file), "ROUTER_KEY": "k1,k2"})
    ollama, router = settings.providers
    assert (ollama.url, ollama.window, ollama.keys) == ("http://127.0.0.1:11434/v1/chat/completions", 8192, ())
    assert (router.models, router.keys, router.headers) == (("a/b", "c/d"), ("k1", "k2"), {"X-Title": "Desk"})
    assert settings.prices.price("router", "a/b").of(1_000_000, 1_000_000) == 4.5
    assert settings.prices.price("ollama", "llama3.2").of(1, 1) == 0
    assert settings.prices.price("elsewhere", "llama3.2") is None
    assert names({"LLM_PROVIDERS_FILE": str(file), "LLM_PRIORITY": "router,ollama"}) == ["router", "ollama"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[provider", "no TOML"),
        ("key = 'secret", "no TOML"),
        ("[other]", "unknown table 'other'"),
        ("[provider]\nname='x'", r"written \[\[provider\]\]"),
        ("[[provider]]\nbase_url='http://127.0.0.1'", "has a name"),
        ("[[provider]]\nname='x'\nmodle='y'", "unknown field 'modle'"),
        ("[[provider]]\nname='x'\nbase_url='http://127.0.0.1'", "needs a model"),
        ("[[provider]]\nname='groq'\nmodel='m'\nbase_url='http://127.0.0.1'", "taken"),
        ("[[provider]]\nname='x'\nmodel='m'\nbase_url='127.0.0.1'", "begins with http"),
        ("[[provider]]\nname='x'\nmodel='m'\nbase_url='http://127.0.0.1'\nwindow='big'", "window"),
        ("[[provider]]\nname='x'\nmodel='m'\nbase_url='http://127.0.0.1'\nprice={input=1}", "price"),
        ("[prices]\nx={input=1}", "price"),
    ],
)
def test_a_file_with_a_mistake_is_refused(tmp_path, text, complaint):
    file = tmp_path / "providers.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=complaint) as caught:
        load({"LLM_PROVIDERS_FILE": str(file)})
    assert "secret" not in str(caught.value)


def test_a_missing_file_is_refused():
    with pytest.raises(SettingsError, match="cannot be read"):
        load({"LLM_PROVIDERS_FILE": "/nowhere/at/all.toml"})


@pytest.mark.parametrize(("name", "value"), [("STREAM_FLUSH_MS", "-1"), ("STREAM_FLUSH_MS", "fast"), ("LLM_TIMEOUT_CONNECT", "0"), ("LLM_TIMEOUT_TURN", "nan"), ("ALLOW_PRIVATE_PROVIDERS", "maybe")])
def test_a_number_that_is_none_is_refused_by_name(name, value):
    with pytest.raises(SettingsError, match=f"^{name}: "):
        load({name: value})


def test_a_key_that_no_header_can_hold_is_refused_without_showing_it():
    with pytest.raises(SettingsError, match="groq: a key") as caught:
        load({"GROQ_API_KEY": "sec\nret"})
    assert "ret" not in str(caught.value).replace("secret", "")

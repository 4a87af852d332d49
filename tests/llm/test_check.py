from services.llm.check import check
from services.llm.config import load
from tests.support.fake_provider import CUT, DONE, END, answer, events, ok, stop, whole

MODELS = whole(200, {"object": "list", "data": [{"id": "a", "object": "model"}]})


def outcomes(settings) -> list[tuple]:
    return [(one.provider, one.key, one.what, one.works, one.problem) for one in check(settings)]


def test_each_provider_key_and_model_is_tried(build):
    fake = build(("one",)).one
    fake.play(MODELS)
    fake.play(*answer("ready"))
    fake.play(whole(404, {"error": {"code": "model_not_found", "message": "sk-1 is your key"}}))
    fake.play(whole(401, {"error": {"code": "invalid_api_key"}}))
    fake.play(ok(), events(stop()), DONE, END)
    fake.play(CUT)
    results = list(check(load({"OPENAI_API_KEY": "sk-1,sk-2", "OPENAI_BASE_URL": fake.url, "OPENAI_MODEL": "a,b", "LLM_PRIORITY": "openai,groq"})))
    assert [(one.key, one.what, one.works, one.problem) for one in results] == [
        (1, "models", True, ""),
        (1, "a", True, ""),
        (1, "b", False, "model_not_found"),
        (2, "models", False, "auth"),
        (2, "a", False, "bad_response"),
        (2, "b", False, "connect"),
        (0, "key", False, "not_configured"),
    ]
    assert results[0].note == "not listed: b" and results[1].latency_ms < 2000
    assert "sk-" not in repr(results)
    assert [request.headers["authorization"] for request in fake.requests] == ["Bearer sk-1"] * 3 + ["Bearer sk-2"] * 3
    assert len(fake.requests) == 6, "nothing is tried twice"


def test_azure_is_asked_with_its_own_header_and_version(build):
    fake = build(("one",)).one
    fake.play(MODELS)
    environ = {"AZURE_OPENAI_API_KEY": "az", "AZURE_OPENAI_ENDPOINT": fake.url.removesuffix("/v1"), "AZURE_OPENAI_DEPLOYMENT": "desk", "AZURE_OPENAI_API_VERSION": "2024-10-21", "LLM_PRIORITY": "azure"}
    assert outcomes(load(environ))[1] == ("azure", 1, "desk", True, "")
    assert fake.requests[1].path == "/openai/deployments/desk/chat/completions?api-version=2024-10-21"
    assert fake.requests[1].headers["api-key"] == "az"
    assert not any("authorization" in request.headers for request in fake.requests)


def test_openais_organization_is_not_told_to_others(build, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    fake = build(("one",)).one
    fake.play(MODELS)
    assert outcomes(load({"GROQ_API_KEY": "g", "GROQ_BASE_URL": fake.url, "LLM_PRIORITY": "groq"}))[1][3]
    assert len(fake.requests) == 2
    assert not any("openai-organization" in request.headers for request in fake.requests)


def test_a_name_that_resolves_to_a_refused_address_is_not_asked(monkeypatch):
    import socket

    monkeypatch.setattr(socket, "getaddrinfo", lambda *rest, **more: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))])
    settings = load({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://innocent.example/v1", "LLM_PRIORITY": "openai"})
    assert outcomes(settings) == [("openai", 0, "address", False, "refused_address")]

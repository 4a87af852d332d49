"""However often a question is sent with one key, the provider is asked once."""

from gevent.pool import Pool

from tests.support.scripts import paced
from tests.support.sse_client import text_of

REQUESTS, AT_ONCE = 1_000, 100


def test_a_thousand_requests_with_one_key_reach_the_provider_once(pair):
    pair.provider.default = paced(20, 0.05)
    client = pair.client()

    def ask(number: int) -> tuple[str, str]:
        with client.ask("What is beta?", key="one-key", base=pair.bases[number % 2]) as connection:
            assert connection.status == 200, connection.response.read()
            frames = list(connection.frames())
        return frames[0].data["streamId"], text_of(frames)

    answers = set(Pool(AT_ONCE).imap_unordered(ask, range(REQUESTS)))
    assert len(pair.provider.requests) == 1
    assert len(answers) == 1
    assert answers.pop()[1] == "".join(f"word{number} " for number in range(20))


def test_the_key_of_another_question_is_refused_by_the_other_worker_too(pair):
    client = pair.client()
    with client.ask("What is beta?", key="another-key") as connection:
        list(connection.frames())
    with client.ask("What is alpha?", key="another-key", base=pair.there.url) as connection:
        assert connection.status == 422
        assert connection.json()["error"]["field"] == "Idempotency-Key"
    assert len(pair.provider.requests) == 1

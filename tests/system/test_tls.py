"""gunicorn's own TLS, for who has no nginx before it."""

import pytest
import requests

from tests.support.nginx import certificate
from tests.support.server import Server


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_an_answer_streams_over_tls(tmp_path):
    certificate(tmp_path)
    public = str(tmp_path / "fullchain.pem")
    arguments = f"--certfile={public} --keyfile={tmp_path / 'privkey.pem'}"
    with Server(tmp_path, scheme="https", environ={"GUNICORN_CMD_ARGS": arguments}) as server:
        answer = requests.post(f"{server.url}/api/chat/stream", json={"message": "What is a bond?"}, headers={"X-User-Id": "ann"},
                               verify=public, timeout=10)
    assert answer.status_code == 200
    assert "event: chat_completed" in answer.text

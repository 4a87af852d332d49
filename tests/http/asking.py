"""How the tests of this folder ask, and read what comes back."""

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.sse_client import Frame, Lines, Parser

STREAM = "/api/chat/stream"


def ask(client: FlaskClient, message: str = "What is beta?", **fields: object) -> list[Frame]:
    """The frames of a whole answer."""
    return frames_of(post(client, message, **fields))


def post(client: FlaskClient, message: str = "What is beta?", headers: dict[str, str] | None = None, **fields: object) -> TestResponse:
    response = client.post(STREAM, json={"message": message} | fields, headers=headers)
    assert response.status_code == 200, response.get_data(as_text=True)
    return response


def frames_of(response: TestResponse) -> list[Frame]:
    return parse(response.get_data())


def parse(wire: bytes) -> list[Frame]:
    parser = Parser()
    return [frame for line in Lines().feed(wire) if (frame := parser.take(line)) is not None]


def error_of(response: TestResponse) -> tuple[int, str, str | None]:
    """Status, code and field of an error."""
    error = response.get_json()["error"]
    assert error["message"]
    return response.status_code, error["code"], error.get("field")

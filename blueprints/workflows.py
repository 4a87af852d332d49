"""Workflows: what there is, what a message would start, how a run stands."""

from flask import Blueprint, Response, jsonify

from blueprints.edge import asking, json_body, services
from services.errors import NotFound
from services.questions import parse_question

blueprint = Blueprint("workflows", __name__, url_prefix="/api/workflows")


@blueprint.get("")
def catalogue() -> Response:
    return jsonify(workflows=services().workflows.catalogue())


@blueprint.post("/detect")
def detect() -> Response:
    """The body is that of a question to the chat; nothing of it is stored or started."""
    question = parse_question(json_body(), services().settings)
    return jsonify(services().workflows.foresee(question).payload())


@blueprint.get("/runs/<workflow_id>")
def run(workflow_id: str) -> Response:
    """A run is its turn's: the id is the stream's, and to others than its owner it does not exist."""
    turn = services().chat.find(asking(), workflow_id)
    state, readers = services().chat.workflow_state(turn)
    if not state:
        raise NotFound("no such workflow run")
    return jsonify(state.to_dict(texts=False) | {"readers": readers})

"""The providers: which there are, and `flask providers check`, which asks each of them for a word."""

import json
import sys
from dataclasses import asdict

import click
from flask import Blueprint, Response, jsonify
from flask.cli import AppGroup

from blueprints.answerers import line
from blueprints.edge import services
from services import providers
from services.llm.check import check
from services.llm.config import load

blueprint = Blueprint("providers", __name__, cli_group=None)
commands = AppGroup("providers", help="The model providers of the settings.")
blueprint.cli.add_command(commands)


@blueprint.get("/api/providers")
def index() -> Response:
    """In the order in which they are asked; a provider's first model is the one it is asked for. `line` is what the page's foot says."""
    states = services().llm.states()
    return jsonify(providers=[providers.shown(state) for state in states], line=line(states))


@commands.command("check")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def check_command(as_json: bool) -> None:
    """Ask every provider, with each of its keys, for its models and for a word of each model. Fails when one of them does."""
    settings = load(services().settings.environ)
    faults = 0
    for found in check(settings):
        click.echo(json.dumps(asdict(found)) if as_json else providers.line(found))
        faults += providers.is_fault(found)
    if settings.offline and not as_json:
        click.echo("ok    offline: built in and always last; it needs no network and no key")
    if faults or not (settings.providers or settings.offline):
        sys.exit(1)

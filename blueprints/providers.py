"""The providers: which there are, and `flask providers check`, which asks each of them for one token."""

import json
import sys
from typing import TYPE_CHECKING

import click
from flask import Blueprint, Response, jsonify
from flask.cli import AppGroup

from blueprints.edge import services
from services import providers
from services.llm.config import load

if TYPE_CHECKING:
    from services.llm.check import Checked

blueprint = Blueprint("providers", __name__, cli_group=None)
commands = AppGroup("providers", help="The model providers of the settings.")
blueprint.cli.add_command(commands)


@blueprint.get("/api/providers")
def index() -> Response:
    """In the order in which they are asked; a provider's first model is the one it is asked for."""
    return jsonify(providers=[providers.shown(state) for state in services().llm.states()])


@commands.command("check")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def check_command(as_json: bool) -> None:
    """Ask every provider, with each of its keys, for its models and for one token. Fails when one of them does."""
    from services.llm.check import check  # and with it `openai`: 40 MB and most of a second that no worker needs

    settings = load(services().settings.environ)
    results = []
    for provider in settings.providers:
        for checked in check(provider, settings.clocks, settings.allow_private):
            results.append(checked)
            click.echo(json.dumps(checked.json()) if as_json else _line(checked))
    if not as_json:
        for name in settings.skipped:
            click.echo(f"-     {name}: not set up; it has no key")
        if settings.offline:
            click.echo("ok    offline: built in, asked last; it needs no network")
    if not all(checked.works for checked in results) or not (results or settings.offline):
        sys.exit(1)


def _line(checked: "Checked") -> str:
    """`ok    groq llama-3.3-70b: 412 ms; lists 24 models`"""
    mark = "ok   " if checked.works else "FAILS"
    name = f"{checked.provider} {checked.model}" + (f", key {checked.key} of {checked.keys}" if checked.keys > 1 else "")
    said = [f"{checked.latency_ms} ms" if checked.works else checked.problem, checked.listing]
    return f"{mark} {name}: {'; '.join(part for part in said if part)}"

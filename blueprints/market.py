"""Prices and measures over HTTP, as a page with pictures, and from the command line."""

from datetime import date

import click
from flask import Blueprint, Response, render_template, request

from blueprints.edge import services
from services.errors import InvalidRequest
from services.market.desk import BENCHMARK
from services.market.listing import as_csv, as_json, page_facts

blueprint = Blueprint("market", __name__, cli_group="market")

FORMATS = ("json", "csv")


@blueprint.get("/api/market/<path:symbol>")
def bars(symbol: str) -> Response:
    """A window's bars and measures: JSON, or with `?format=csv` the bars alone; the page for who prefers HTML."""
    form = request.args.get("format")
    if form is not None and form not in FORMATS:
        raise InvalidRequest(f"must be one of {', '.join(FORMATS)}", field="format")
    if form is None and request.accept_mimetypes.best_match(("application/json", "text/html")) == "text/html":
        return _varies(Response(page(symbol)))
    start, end = _day("start"), _day("end")
    if form == "csv":
        history = services().market.history(symbol, start, end)
        name = f"{''.join(c for c in history.instrument.symbol if c.isalnum())}-{history.window.first}-{history.window.last}.csv"
        return Response(as_csv(history), mimetype="text/csv", headers={"Content-Disposition": f'attachment; filename="{name}"'})
    history, measures = services().market.measures(symbol, start, end, _benchmark())
    return _varies(Response(as_json(history, measures), mimetype="application/json"))


@blueprint.get("/market/<path:symbol>")
def page(symbol: str) -> str:
    """A symbol's page: price, fall from the peak, measures, and where all of it comes from."""
    history, measures = services().market.measures(symbol, _day("start"), _day("end"), _benchmark())
    return render_template("market/symbol.html", **page_facts(history, measures))


@blueprint.cli.command("refresh")
@click.argument("symbols", nargs=-1, required=True)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First day to fetch; by default a year ago.")
def refresh(symbols: tuple[str, ...], since) -> None:
    """Fetch SYMBOLS into the cache and say what came."""
    for symbol, result in services().market.refresh(symbols, since.date() if since else None):
        if isinstance(result, str):
            click.echo(f"{symbol:<12} {result}")
        else:
            click.echo(f"{symbol:<12} {len(result.window)} bars to {result.window.last}, {result.source.title}")
            for note in result.notes:
                click.echo(f"{'':<12} {note}")


@blueprint.cli.command("sources")
def sources() -> None:
    """Ask every configured source, and say what answered, how fast, and how old its data are."""
    for source in services().market.sources(ask=True):
        state = "ready" if source["configured"] else "not configured"
        end = f", data end {source['dataEnd']}" if source["dataEnd"] else ""
        said = f", {source['last']}" if source["configured"] and source["last"] != "ready" else ""
        took = f" in {source['tookMs']} ms" if source.get("tookMs") is not None else ""
        click.echo(f"{source['title']:<34} {state}{said}{took}{end}")


def _day(name: str) -> date | None:
    text = request.args.get(name)
    if not text:
        return None
    try:
        return date.fromisoformat(text) if len(text) == 10 else _no_day(name)
    except ValueError:
        return _no_day(name)


def _no_day(name: str) -> None:
    raise InvalidRequest("must be a day such as 2022-01-31", field=name)


def _benchmark() -> str | None:
    """The benchmark asked for; the S&P 500 by default, none for an empty one."""
    return request.args.get("benchmark", BENCHMARK) or None


def _varies(response: Response) -> Response:
    response.vary.add("Accept")
    return response

"""Commands for whoever runs the server: `flask users …`, `flask tokens …`, `flask retention run`."""

import click
from flask.cli import AppGroup

from blueprints.edge import has_accounts, services
from services.errors import TickertapeError
from services.history import iso

users = AppGroup("users", help="Accounts.")
tokens = AppGroup("tokens", help="API tokens.")
retention = AppGroup("retention", help="What is kept, and for how long.")
GROUPS = (users, tokens, retention)

password_option = click.option("--password", prompt=True, hide_input=True, confirmation_prompt=True,
                               help="Asked for when left out; a shell keeps what is typed on its line.")


class Refused(click.ClickException):
    """A service's error, as a line on the terminal and exit status 1."""

    def __init__(self, error: TickertapeError) -> None:
        super().__init__(f"{error.field} {error.message}" if error.field else error.message)


def _try(work, *arguments, **named):
    try:
        return work(*arguments, **named)
    except TickertapeError as error:
        raise Refused(error) from None


@users.command("add")
@click.argument("name")
@password_option
def add(name: str, password: str) -> None:
    """Make an account."""
    account = _try(services().accounts.add, name, password)
    click.echo(f"{account.name} can sign in" + ("" if has_accounts() else
               " once the server runs with AUTH=password"))


@users.command("list")
def list_users() -> None:
    """Every account, when it was made, and whether it is disabled."""
    for account in services().accounts.all():
        how = "OpenID" if account.subject else "password"
        click.echo(f"{account.name}\t{how}\t{iso(account.created_at)}\t{'disabled' if account.disabled_at else 'active'}")


@users.command("disable")
@click.argument("name")
def disable(name: str) -> None:
    """End its sign-ins, and let neither passwords nor tokens in."""
    _try(services().accounts.disable, name)


@users.command("enable")
@click.argument("name")
def enable(name: str) -> None:
    """Undo disable."""
    _try(services().accounts.disable, name, False)


@users.command("password")
@click.argument("name")
@password_option
def set_password(name: str, password: str) -> None:
    """Set a new password, and end its sign-ins."""
    _try(services().accounts.set_password, name, password)


@users.command("delete")
@click.argument("name")
@click.confirmation_option(prompt="Delete the account and all its conversations?")
def delete(name: str) -> None:
    """Delete an account and everything it has."""
    _try(services().accounts.delete_named, name)


@tokens.command("add")
@click.argument("name")
@click.option("--label", default="command line", help="What the token is for.")
@click.option("--act-for", is_flag=True, help="It may name other users by userId; their data is apart from all accounts.")
def add_token(name: str, label: str, act_for: bool) -> None:
    """Make a token of an account, and show it this once."""
    click.echo(_try(services().accounts.make_token_for, name, label, act_for=act_for))


@retention.command("run")
def run_retention() -> None:
    """Delete what is past its time now. The server does the same every five minutes."""
    for name, count in services().retention.run().items():
        click.echo(f"{count} {name} deleted")

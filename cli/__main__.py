"""`external-service`, and `kubectl extsvc`: the commands of all packages. Each is imported only when it is used."""

import sys
from importlib import import_module
from pathlib import Path

import click
from click.shell_completion import ShellComplete, get_completion_class

from runtime import VERSION
from runtime.commands import run

PROGRAM = "external-service"
COMMANDS = {
    "hook": "app.commands",
    "prober": "probe_sidecar.commands",
    "render": "app.commands",
    "request": "app.commands",
    "check": "probe_sidecar.commands",
    "status": "probe_sidecar.commands",
    "completion": "cli.__main__",
    "version": "cli.__main__",
}
"""Name to module, in the order of the help: the hook must not carry the prober in its memory."""


class Commands(click.Group):
    """The group of all COMMANDS; click itself knows only their names."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Their names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """One of them, imported now."""
        return getattr(import_module(COMMANDS[cmd_name]), cmd_name) if cmd_name in COMMANDS else None


@click.group(cls=Commands, commands=[click.Command(name) for name in COMMANDS])
def external_service() -> None:
    """Use services outside a Kubernetes cluster as if they lived inside.

    hook and prober are the two processes of the operator. render, request and check need no cluster; check and status
    read objects of one. Each command shows examples with --help.

    \b
    Exit status: 0 done and healthy, 1 failed or not healthy, 2 bad usage, input or settings, 130 interrupted.
    """


@click.command
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the completion script of a shell.

    \b
    Examples:
      source <(external-service completion bash)
      external-service completion fish > ~/.config/fish/completions/external-service.fish
    """
    made = get_completion_class(shell)
    assert made is not None  # noqa: S101 - the choices are click's own
    click.echo(made(external_service, {}, PROGRAM, VARIABLE).source())
    return 0


@click.command
def version() -> int:
    """Print the version."""
    click.echo(VERSION)
    return 0


VARIABLE = "_EXTERNAL_SERVICE_COMPLETE"


def main() -> int:
    """The exit status: see `runtime.commands`."""
    program = "kubectl extsvc" if Path(sys.argv[0]).name == "kubectl-extsvc" else PROGRAM
    return run(external_service, program, sys.argv[1:], complete=VARIABLE)


def complete_for_kubectl() -> int:
    """`kubectl_complete-extsvc`: prints completions, one a line, then the directive of kubectl's completion.

    kubectl passes what is typed after `kubectl extsvc`; the last argument is the incomplete word. Directive 0 lets the
    shell complete a file, 4 forbids that (cobra, ShellCompDirective).
    """
    *before, incomplete = sys.argv[1:] or [""]
    items = ShellComplete(external_service, {}, PROGRAM, VARIABLE).get_completions(before, incomplete)
    for item in items:
        if item.type == "plain":
            click.echo(f"{item.value}\t{item.help}" if item.help else item.value)
    click.echo(":0" if any(item.type == "file" for item in items) else ":4")
    return 0


if __name__ == "__main__":
    sys.exit(main())

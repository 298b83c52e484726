"""Common parts of all commands: failure, warnings and the manifests that they read. With click.

Exit status: 0 done, 1 it failed or something is not healthy, 2 bad usage, input or settings, 130 interrupted.
"""

import errno
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from external_service.manifest import Document

HELP = ["-h", "--help"]
SUFFIXES = (".yaml", ".yml", ".json")
LARGEST_FILE = 32 * 1024 * 1024
FILE = click.Path(allow_dash=True)
"""An argument that may name a file; a shell completes it."""


class Failure(click.ClickException):
    """Ends the command with the exit status `status` and one line on stderr for each problem."""

    def __init__(self, status: int, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.status = status
        self._problems = problems
        context = click.get_current_context(silent=True)
        self._command = context.command_path if context else "external-service"

    def show(self, file: IO[Any] | None = None) -> None:
        """The lines."""
        for problem in self._problems:
            click.echo(f"{click.style(self._command, fg='red')}: {problem}", file=file, err=True)


def run(command: click.Command, program: str, arguments: Sequence[str], complete: str | None = None) -> int:
    """Run a command to its exit status. `program` is what the user typed to get here.

    `complete` is the variable with which a shell requests completions. No argument may be empty: most options would
    count as not given then, and a script with an unset variable would use another cluster than it means.
    """
    _use_utf8()
    try:
        for before, argument in zip((program, *arguments), arguments, strict=False):
            if not argument or (argument.startswith("--") and argument.endswith("=")):
                raise click.UsageError(f"an empty text after {argument or before}: write a value, or leave it out")
        status = command.main(list(arguments), program, complete, standalone_mode=False, help_option_names=HELP)
        click.echo(nl=False)  # flushes, so that a full disk or a pipe without a reader is seen here
    except Failure as failure:
        failure.show()
        return failure.status
    except click.ClickException as problem:
        problem.show()
        return problem.exit_code
    except click.Abort:
        return 130
    except OSError as problem:
        name = "" if problem.filename is None else f"{problem.filename}: "
        click.echo(f"{program}: {name}{problem.strerror or problem}", err=True)
        if not name:
            _drop_output()
        return 2 if name else 1
    return status if isinstance(status, int) else 0


def _use_utf8() -> None:
    """Input and output are in UTF-8, as kubectl's, whatever the locale says. A file name may hold any bytes."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="strict" if stream is sys.stdin else "backslashreplace")


def _drop_output() -> None:
    """Unwritten output would fail again, with a traceback, when the interpreter ends."""
    with suppress(OSError):
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def warn(lines: Iterable[str]) -> None:
    """Warnings, one a line, on stderr."""
    for line in lines:
        click.echo(f"{click.style('warning', fg='yellow')}: {line}", err=True)


def manifests(paths: Sequence[str]) -> "list[Document]":
    """The ExternalServices of `paths`: files, folders (their .yaml, .yml and .json files) or "-", the standard input.

    `where` of each begins with its file. Prints the warnings; ends the command with all problems of all files. A file
    of a folder may be without an ExternalService.
    """
    from external_service.manifest import NOTHING, InvalidInput, external_services  # noqa: PLC0415 - YAML: no server needs it

    found: list[Document] = []
    problems: list[str] = []
    warnings: list[str] = []
    for path in paths:
        before = len(found)
        for file in _files(path):
            try:
                read = external_services(_text(file), required=file == path)
                found += [replace(one, where=f"{file}: {one.where}") for one in read.documents]
                warnings += [f"{file}: {line}" for line in read.warnings]
            except InvalidInput as invalid:
                problems += [f"{file}: {problem}" for problem in invalid.problems]
            except OSError as error:
                problems.append(f"{file}: {error.strerror}")
            except UnicodeDecodeError:
                problems.append(f"{file}: this is not text in UTF-8")
        if not problems and len(found) == before:
            problems.append(f"{path}: {NOTHING}")
    if problems:
        raise Failure(2, *problems)
    warn(warnings)
    return found


def _files(path: str) -> Iterator[str]:
    if path == "-" or not Path(path).is_dir():
        yield path
    else:
        named = (file for file in sorted(Path(path).iterdir()) if file.suffix in SUFFIXES)
        yield from (str(file) for file in named if file.is_file() or not file.exists())  # a dangling link is an error


def _text(file: str) -> str:
    if file == "-" and sys.stdin is None:
        raise OSError(errno.EBADF, "the standard input is closed")
    with nullcontext(sys.stdin) if file == "-" else Path(file).open(encoding="utf-8") as opened:
        text: str = opened.read(LARGEST_FILE + 1)
    if len(text) > LARGEST_FILE:
        raise OSError(errno.EFBIG, f"it has more than {LARGEST_FILE} characters")
    return text

"""docs/command-reference.md, made from the help texts: ``make reference`` writes it."""

from collections.abc import Iterator

import click

from manage import cli
from tests.harness.configuration import ROOT

PAGE = ROOT / "docs" / "command-reference.md"
_INTRODUCTION = """\
# Command reference

This page lists every command of `manage.py`. It is generated from the help texts, which
`manage.py COMMAND --help` prints. On a machine where userauth is installed as a service, use
`userauth-manage` in place of `python manage.py`. [administration.md](administration.md) explains
the commands by task, and has the exit codes.
"""


def reference() -> str:
    """Return the text of the page."""
    return "\n".join([_INTRODUCTION, *_sections(click.Context(cli, info_name="manage.py"))])


def _sections(context: click.Context) -> Iterator[str]:
    """Yield the section of a command, and those of the commands of a group."""
    command = context.command
    yield _section(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _sections(click.Context(found, context, info_name=name))


def _section(context: click.Context) -> str:
    command = context.command
    usage = command.get_usage(context).removeprefix("Usage: ")
    parts = [f"## {context.command_path}\n", f"```text\n{usage}\n```\n"]
    # click wraps the lines of a paragraph, and marks with \b those that it must not.
    paragraphs = (command.help or "").replace("\b\n", "").split("\n\n")
    parts += [f"{' '.join(paragraph.split())}\n" for paragraph in paragraphs]
    options = [option for option in command.params if isinstance(option, click.Option)]
    records = [option.get_help_record(context) for option in options]
    rows = [f"| {_cell(f'`{record[0]}`')} | {_cell(record[1])} |" for record in records if record]
    if rows:
        parts.append("\n".join(["| option | meaning |", "| --- | --- |", *rows]) + "\n")
    return "\n".join(parts)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Write the page."""
    PAGE.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main()

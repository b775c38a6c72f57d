"""``manage.py check``: the settings, the files that they name, and the database."""

from typing import Any

import click

from commands.administrator import Administrator, as_json
from commands.terminal import print_fields, print_json, say
from services.database_check import DatabaseReport
from settings.cautions import cautions


@click.command("check")
@click.option(
    "--database", "with_database", is_flag=True, help="Connect to the database and report on it."
)
@as_json
@click.pass_obj
def check_settings(administrator: Administrator, with_database: bool, as_json: bool) -> None:
    """Check the settings and the database without changing them.

    This is what server.py --check does: an external database must respond. With --database, also
    report on the database; the embedded one is started unless it runs.
    """
    warnings = [*cautions(administrator.settings)]
    if not as_json:
        for warning in warnings:
            say(f"warning: {warning}", err=True)
    summary, *found = administrator.check().splitlines()
    report = administrator.check_database() if with_database else None
    if as_json:
        warnings += [each.removeprefix("Warning: ") for each in found]
        database = _document(administrator, report) if report else None
        print_json({"summary": summary, "warnings": warnings, "database": database})
    else:
        for line in (summary, *found):
            say(line)
        if report:
            _print(administrator, report, already="\n".join(found))
    if report and report.errors:
        raise click.ClickException(" ".join(report.errors))


def _document(administrator: Administrator, report: DatabaseReport) -> dict[str, Any]:
    state = report.state
    return {
        "location": administrator.location,
        "postgres": state.version,
        "database": state.database,
        "role": state.role,
        "superuser": state.superuser is not None,
        "schema": state.schema,
        "schema_version": report.schema_version,
        "encrypted": state.is_encrypted,
        "connections": state.connections,
        "max_connections": state.max_connections,
        "usable_connections": state.usable_connections,
        "clock_offset_seconds": round(report.clock_offset, 3),
        "errors": [*report.errors],
        "warnings": [*report.warnings],
    }


def _print(administrator: Administrator, report: DatabaseReport, *, already: str) -> None:
    document = _document(administrator, report)
    del document["errors"]
    for warning in document.pop("warnings"):
        if warning not in already:
            say(f"warning: {warning}", err=True)
    print_fields(document)

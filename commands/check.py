"""``manage.py check``: the settings, and what they name."""

import click

from commands.administrator import Administrator
from commands.terminal import say
from settings.cautions import cautions


@click.command("check")
@click.pass_obj
def check_settings(administrator: Administrator) -> None:
    """Check the settings without starting anything.

    This is what server.py --check does. An external database is checked too, without a change.
    """
    report = administrator.check()
    for caution in cautions(administrator.settings):
        say(f"warning: {caution}", err=True)
    for line in report.splitlines():
        say(line)

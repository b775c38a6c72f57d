"""The userauth server. Run as ``python server.py``; ``--check`` checks the settings and exits.

Exit codes: 0 after SIGTERM or SIGINT, 1 if it cannot start, 2 if the settings are wrong.
"""

import signal

# First: until the server handles signals, SIGINT ends the process without a traceback of imports.
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence

from ops.logs import SERVER, configure_logging
from ops.systemd import Systemd, SystemdError
from settings import Settings, SettingsError, load_settings
from settings.cautions import cautions
from wiring.check import check
from wiring.errors import START_ERRORS, exit_code_of
from wiring.lifecycle import serve
from wiring.logs import server_log
from wiring.program import SETTINGS_FILE, version


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the server until a signal stops it; return the exit code."""
    parser = argparse.ArgumentParser(description="Run the userauth server.")
    parser.add_argument("--check", action="store_true", help="check the settings and exit")
    parser.add_argument(
        "--version",
        action="version",
        version=f"userauth {version()}",
        help="print the version and exit",
    )
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(environ, SETTINGS_FILE)
    except SettingsError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        return 2
    try:
        if options.check:
            _check(settings)
        else:
            _serve(settings, environ)
    except (*START_ERRORS, SystemdError) as error:
        print(f"userauth: {error}", file=sys.stderr)
        return exit_code_of(error)
    return 0


def _check(settings: Settings) -> None:
    for caution in cautions(settings):
        print(f"warning: {caution}", file=sys.stderr)
    print(check(settings))


def _serve(settings: Settings, environ: Mapping[str, str]) -> None:
    with server_log(settings) as log:
        configure_logging(log)
        for caution in cautions(settings):
            logging.getLogger(SERVER).warning("settings: %s", caution)
        serve(settings, Systemd(environ), log)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))

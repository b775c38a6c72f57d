"""The container image, built by buildah without a daemon, and run with a read-only root."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.configuration import ROOT
from tests.harness.machine import copy_checkout, make_tree
from tests.harness.programs import get_program

_BASE, _IMAGE = "localhost/base", "localhost/userauth"
_BUILD_SECONDS = 600
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# A namespace of its own has the tree read-only, with /proc and /dev, and ends with its command.
_ENTER = """
mount --make-rprivate / && mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" &&
mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" && cd "$0" || exit 125
exec chroot --userspec "$1" "$0" /usr/bin/env --chdir "$2" "${@:3}"
"""


@dataclass(frozen=True)
class Image:
    """An image: its configuration, and its files in a directory."""

    configuration: Mapping[str, Any]
    root: Path

    def start(
        self, command: Sequence[str], log: Path, **variables: str
    ) -> "subprocess.Popen[bytes]":
        """Start a command as the image's user, in its working directory and environment."""
        user, directory = self.configuration["User"], self.configuration["WorkingDir"]
        environment = dict(each.split("=", 1) for each in self.configuration["Env"])
        enter = ["unshare", "--mount", "bash", "-c", _ENTER, str(self.root), user, directory]
        with log.open("ab") as stream:
            return subprocess.Popen(
                [*enter, *command],
                env={**environment, **variables, "PATH": _PATH},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )

    def run(self, command: Sequence[str], log: Path, **variables: str) -> int:
        """Run a command to its end; return its exit code."""
        return self.start(command, log, **variables).wait(60)

    @contextmanager
    def running(self, log: Path, **variables: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run the server for the duration of the block."""
        process = self.start(self.configuration["Entrypoint"], log, **variables)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait(20)


def build_image(folder: Path) -> Image:
    """Build the image of this checkout on a Debian that debootstrap made; needs root."""
    tree = folder / "tree"
    make_tree("bookworm", tree)
    checkout = folder / "checkout"
    copy_checkout(checkout)
    base = _buildah(folder, "from", "scratch")
    _buildah(folder, "copy", "--quiet", base, str(tree), "/")
    _buildah(folder, "commit", "--quiet", "--rm", base, _BASE)
    options = ("--isolation=chroot", "--format=docker", f"--build-arg=BASE={_BASE}")
    _buildah(folder, "build", "--quiet", *options, f"--tag={_IMAGE}", str(checkout))
    shown = json.loads(_buildah(folder, "inspect", "--type=image", _IMAGE))
    root = _buildah(folder, "mount", _buildah(folder, "from", _IMAGE))
    return Image(shown["Docker"]["config"], Path(root))


def _buildah(folder: Path, *arguments: str) -> str:
    storage = ("--storage-driver=vfs", f"--root={folder / 'images'}", f"--runroot={folder / 'run'}")
    ended = subprocess.run(
        [get_program("buildah"), *storage, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=_BUILD_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.strip()

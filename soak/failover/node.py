"""A node: its etcd, Patroni and Postgres, which a run kills, freezes and starts again."""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import psutil

from deploy.cluster.plan import Node as Place
from postgres.programs import Account
from soak.failover.network import Network

STOP_SECONDS = 20


class Part(Enum):
    """A program of a node."""

    ETCD = "etcd"
    PATRONI = "Patroni"
    POSTGRES = "Postgres"


@dataclass(frozen=True)
class Programs:
    """The programs of a node, and the user that runs them, which is never root."""

    etcd: str
    patroni: str
    account: Account


class Node:
    """A node, with the files that configure.py wrote for it, in its network if there is one."""

    def __init__(
        self,
        place: Place,
        files: Path,
        data: Path,
        programs: Programs,
        network: Network | None = None,
    ) -> None:
        self.place = place
        self.log = data / "log"
        self._data = data
        self._programs = programs
        self._network = network
        self._commands = {
            Part.ETCD: [programs.etcd, f"--config-file={files / 'etcd.yml'}"],
            Part.PATRONI: [programs.patroni, str(files / "patroni.yml")],
        }
        self._running: dict[Part, psutil.Popen] = {}

    @property
    def name(self) -> str:
        return self.place.name

    def start(self) -> None:
        """Start etcd and Patroni, unless they run; Patroni starts Postgres."""
        for part, command in self._commands.items():
            running = self._running.get(part)
            if running is None or running.poll() is not None:
                self._running[part] = self._start(command)

    def send(self, parts: Sequence[Part], number: signal.Signals) -> list[psutil.Process]:
        """Send a signal to every process of these programs; return the processes.

        Patroni comes before Postgres, which it would start again.
        """
        reached = []
        for part in sorted(parts, key=list(Part).index):
            for process in self._processes(part):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
                    reached.append(process)
        return reached

    def stop(self) -> None:
        """Kill every program, frozen or not, without regard for the data."""
        self.send(list(Part), signal.SIGCONT)
        self.send([Part.ETCD, Part.PATRONI], signal.SIGKILL)
        postgres = self.send([Part.POSTGRES], signal.SIGQUIT)
        _, alive = psutil.wait_procs(postgres, timeout=STOP_SECONDS)
        for process in alive:
            process.kill()
        for program in self._running.values():
            program.wait(STOP_SECONDS)

    def _processes(self, part: Part) -> list[psutil.Process]:
        """Return the processes of a program; the postmaster, which would start others, first."""
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ValueError, IndexError):
            if part is not Part.POSTGRES:
                return [psutil.Process(self._running[part].pid)]
            first = (self._data / "postgres" / "postmaster.pid").read_text().split()[0]
            postmaster = psutil.Process(int(first))
            return [postmaster, *postmaster.children(recursive=True)]
        return []

    def _start(self, command: Sequence[str]) -> psutil.Popen:
        account = self._programs.account
        changes_user = os.geteuid() == 0 and self._network is None
        if self._network is not None:
            # Only root can enter the namespace, so the command changes the user itself.
            command = [*self._network.command(self.name, account), *command]
        with self.log.open("ab") as log:
            return psutil.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._data,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
                # Ctrl-C must reach only the run, which stops the nodes.
                start_new_session=True,
                user=account.uid if changes_user else None,
                group=account.gid if changes_user else None,
                extra_groups=[] if changes_user else None,
            )

"""Run the commands of a documentation page, and compare what they print with its samples."""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.harness.configuration import ROOT
from tests.harness.processes import environment

# The address of the server in every page.
SHOWN_URL = "http://127.0.0.1:8000"
_SEPARATOR = "=====\n"
# Ids, secrets and tokens, whole or shortened.
_OPAQUE = re.compile(r"[0-9a-f-]{4,36}…?(?:\.…?[\w-]+…?)*")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
_MIN_EPOCH = 1_000_000_000
_MESSAGES = re.compile(r"var/mail/\*-([a-z-]+)-")
# Waits for one more message of a kind than at the last call: a reader is slower than the sender.
_AWAIT = """
declare -A seen
await() {
  until [ "$(ls FOLDER | grep -c -- "Z-$1-")" -gt "${seen[$1]:-0}" ]; do sleep 0.02; done
  seen[$1]=$(ls FOLDER | grep -c -- "Z-$1-")
}
"""


def page(name: str) -> str:
    """Return the text of a page."""
    return (ROOT / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """Return the text below a heading, up to the next one of its level or above."""
    level = heading.split(maxsplit=1)[0]
    below = text.partition(f"\n{heading}\n")[2]
    return re.split(rf"^#{{1,{len(level)}}} ", below, maxsplit=1, flags=re.MULTILINE)[0]


def blocks(text: str) -> list[tuple[str, str]]:
    """Return the language and the content of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[str]:
    """Return the commands of a shell block, with continued lines joined."""
    return block.replace("\\\n", " ").splitlines()


def all_commands(text: str) -> list[str]:
    """Return the commands of all shell blocks of a text."""
    shell = [block for language, block in blocks(text) if language == "sh"]
    return [command for block in shell for command in commands(block)]


def awaiting_messages(lines: list[str], folder: Path) -> list[str]:
    """Return commands that read messages from a folder, each new kind as soon as it arrives.

    Commands in one row that read the same kind read the same messages.
    """
    found, last = [], None
    for line in lines:
        kind = match[1] if (match := _MESSAGES.search(line)) else None
        found.append(line if kind in {None, last} else f"await {kind}; {line}")
        last = kind
    first, *others = found
    return [_AWAIT.replace("FOLDER", str(folder)) + first, *others]


@dataclass(frozen=True, slots=True)
class Sample:
    """What a page shows below a command, and what the command printed."""

    language: str
    shown: str
    printed: str

    def is_right(self) -> bool:
        """Return whether both are the same but for ids, tokens and times."""
        if self.language == "json":
            return shape(json.loads(self.shown)) == shape(json.loads(self.printed))
        return _UUID.sub("ID", self.shown.strip()) == _UUID.sub("ID", self.printed.strip())


def samples(text: str, printed: Iterable[str]) -> Iterator[Sample]:
    """Yield each sample of a page with the output of the command above it."""
    found, last = iter(printed), ""
    for language, block in blocks(text):
        if language == "sh":
            for _ in commands(block):
                last = next(found)
        elif language in {"json", "text"}:
            yield Sample(language, block, last)


def run_commands(lines: list[str], shown_to_real: Mapping[str, str], **variables: str) -> list[str]:
    """Run commands in one shell, with addresses replaced; return the output of each."""
    script = "\necho; echo =====\n".join(lines)
    for shown, real in shown_to_real.items():
        script = script.replace(shown, real)
    ended = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", script.replace(".venv/bin/python", sys.executable)],
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return [part.strip() for part in ended.stdout.split(_SEPARATOR)]


def shape(value: object) -> object:
    """Return a JSON value with ids, tokens and times replaced by their kind."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shape(member) for member in value]
    if isinstance(value, str):
        kinds = {"time": _TIME, "opaque": _OPAQUE}
        return next((kind for kind, form in kinds.items() if form.fullmatch(value)), value)
    is_epoch = isinstance(value, int) and not isinstance(value, bool) and value > _MIN_EPOCH
    return "epoch" if is_epoch else value


def saved_files(text: str) -> dict[str, str]:
    """Return the files that a page asks the reader to save: ``Save … as `NAME` `` and a block."""
    form = r"^[^\n]*Save [^`\n]*`([\w.]+)`[^\n]*\n(?:[^\n]+\n)*\n```\w+\n(.*?)^```$"
    return dict(re.findall(form, text, re.MULTILINE | re.DOTALL))


def save_files(text: str, folder: Path, shown_to_real: Mapping[str, str]) -> None:
    """Write the files of a page into a folder, with addresses replaced."""
    for name, content in saved_files(text).items():
        for shown, real in shown_to_real.items():
            content = content.replace(shown, real)  # noqa: PLW2901 - one after another
        (folder / name).write_text(content, encoding="utf-8")

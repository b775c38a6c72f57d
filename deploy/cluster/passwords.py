"""The passwords of a cluster, which an earlier run kept in a file. Needs only Python."""

import json
import re
from dataclasses import dataclass, field, fields
from pathlib import Path

from deploy.cluster.plan import Form, Mistakes

# They are parts of a URL, of YAML and of SQL.
PASSWORD = Form(re.compile(r"[A-Za-z0-9_.~-]+"), "a text of letters, digits and _ . ~ -")


@dataclass(frozen=True)
class Passwords:
    """The passwords of the cluster."""

    superuser: str = field(repr=False)
    replication: str = field(repr=False)
    rewind: str = field(repr=False)
    restapi: str = field(repr=False)
    userauth: str = field(repr=False)


ROLES = tuple(each.name for each in fields(Passwords))


def read_passwords(file: Path) -> Passwords | None:
    """Return the passwords in a file, or None if there is no such file. Raises Mistakes."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Mistakes([f"{file}: cannot be read: {error.strerror}"]) from error
    except (ValueError, RecursionError) as error:
        raise Mistakes([f"{file}: is not JSON in UTF-8: {error}"]) from error
    if not isinstance(found, dict):
        raise Mistakes([f"{file}: must be a JSON object"])
    faults = [f"{name!r} is not known" for name in found if name not in ROLES]
    for role in ROLES:
        if not PASSWORD.fits(found.get(role)):
            wrong = f"must be {PASSWORD.description}" if role in found else "is missing"
            faults.append(f"{role} {wrong}")
    if faults:
        raise Mistakes([f"{file}: {fault}" for fault in faults])
    return Passwords(**found)

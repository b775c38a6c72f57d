"""A way for one user through folders that are closed to others: an entry in their access lists.

What acl(5) describes, without its library: an access list is an extended attribute, of a version
and entries of a tag, a permission and a number.
"""

import errno
import logging
import os
import pwd
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from postgres.directory_handle import open_directory_descriptor

_ATTRIBUTE = "system.posix_acl_access"
_VERSION = struct.pack("<I", 2)
_ENTRY = struct.Struct("<HHI")
_OWNER, _USER, _OWNING_GROUP, _GROUP, _MASK, _OTHERS = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NOBODY = 0xFFFFFFFF
_PASS = 0o1

logger = logging.getLogger(__name__)


class AccessListError(Exception):
    """A folder stays closed; the message says which and why."""


@dataclass(frozen=True, order=True)
class Entry:
    """One line of an access list; they are kept in this order."""

    tag: int
    number: int
    permission: int


def grant_traversal(path: Path, uid: int, gid: int) -> None:
    """Let one user pass the folders above a path, never list them; nobody else. Needs root."""
    for parent in reversed(path.parents):
        descriptor = open_directory_descriptor(parent)
        try:
            if _open_for(descriptor, parent, uid, gid):
                logger.warning(
                    "the user %s, and nobody else, may now pass, not list, %s: Postgres has to get"
                    " through (setfacl -x u:%s takes it back)",
                    user_name(uid),
                    parent,
                    user_name(uid),
                )
        finally:
            os.close(descriptor)


def _open_for(descriptor: int, folder: Path, uid: int, gid: int) -> bool:
    """Let a user pass an open folder; return whether anything had to be done for that."""
    status = os.fstat(descriptor)
    entries = _entries(descriptor, status)
    if _may_pass(status, entries, uid, gid):
        return False
    if status.st_uid != 0:
        raise AccessListError(f"{folder} belongs to the user {user_name(status.st_uid)}")
    try:
        os.setxattr(descriptor, _ATTRIBUTE, _packed(_with_passage(entries, uid)))
    except OSError as error:
        raise AccessListError(f"{folder} takes no access list: {error.strerror}") from None
    return True


def user_name(uid: int) -> str:
    """Return the name of a user, or the number of one without."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _entries(descriptor: int, status: os.stat_result) -> Sequence[Entry]:
    try:
        packed = os.getxattr(descriptor, _ATTRIBUTE)
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
            raise
        mode = stat.S_IMODE(status.st_mode)
        shifts = {_OWNER: 6, _OWNING_GROUP: 3, _OTHERS: 0}
        return [Entry(tag, _NOBODY, mode >> shift & 0o7) for tag, shift in shifts.items()]
    found = _ENTRY.iter_unpack(packed[len(_VERSION) :])
    return [Entry(tag, number, permission) for tag, permission, number in found]


def _packed(entries: Sequence[Entry]) -> bytes:
    lines = (_ENTRY.pack(entry.tag, entry.permission, entry.number) for entry in entries)
    return _VERSION + b"".join(lines)


def _may_pass(status: os.stat_result, entries: Sequence[Entry], uid: int, gid: int) -> bool:
    """Tell whether a user may pass a folder, by the entry that counts for them."""
    mask = next((entry.permission for entry in entries if entry.tag == _MASK), 0o7)
    if status.st_uid == uid:
        return any(entry.permission & _PASS for entry in entries if entry.tag == _OWNER)
    named = [entry for entry in entries if (entry.tag, entry.number) == (_USER, uid)]
    group = [
        entry
        for entry in entries
        if (entry.tag == _OWNING_GROUP and status.st_gid == gid)
        or (entry.tag, entry.number) == (_GROUP, gid)
    ]
    if decisive := named or group:
        return any(entry.permission & mask & _PASS for entry in decisive)
    return any(entry.permission & _PASS for entry in entries if entry.tag == _OTHERS)


def _with_passage(entries: Sequence[Entry], uid: int) -> Sequence[Entry]:
    """Return the entries with one more, under a mask that gives no other one more than it had."""
    mask = next((entry.permission for entry in entries if entry.tag == _MASK), 0o7)
    old = next((e.permission for e in entries if (e.tag, e.number) == (_USER, uid)), 0)
    beside = [entry for entry in entries if entry.tag in (_OWNER, _OTHERS)]
    masked = [
        Entry(entry.tag, entry.number, entry.permission & mask)
        for entry in entries
        if entry.tag in (_USER, _OWNING_GROUP, _GROUP) and (entry.tag, entry.number) != (_USER, uid)
    ]
    masked.append(Entry(_USER, uid, old & mask | _PASS))
    whole = 0
    for entry in masked:
        whole |= entry.permission
    return sorted([*beside, *masked, Entry(_MASK, _NOBODY, whole)])

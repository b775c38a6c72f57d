"""Grants one user access to directories that are closed to others, in their access lists.

Implements only the necessary part of acl(5): an access list is an extended attribute that consists
of a version, and entries with a tag, a permission and an id.
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
_NO_ID = 0xFFFFFFFF
_TRAVERSE = 0o1

logger = logging.getLogger(__name__)


class AccessListError(Exception):
    """A directory stays closed; the message names it and the reason."""


@dataclass(frozen=True, order=True)
class Entry:
    """One entry of an access list; entries are sorted by these fields."""

    tag: int
    id: int
    permission: int


def grant_traversal(path: Path, uid: int, gid: int) -> None:
    """Allow one user to traverse, but not list, the parent directories of a path. Needs root."""
    for parent in reversed(path.parents):
        descriptor = open_directory_descriptor(parent)
        try:
            if _grant(descriptor, parent, uid, gid):
                logger.warning(
                    "the user %s alone may now traverse, not list, %s, which Postgres needs"
                    " (setfacl -x u:%s undoes it)",
                    user_name(uid),
                    parent,
                    user_name(uid),
                )
        finally:
            os.close(descriptor)


def _grant(descriptor: int, directory: Path, uid: int, gid: int) -> bool:
    """Allow a user to traverse an open directory; return whether that required a change."""
    status = os.fstat(descriptor)
    entries = _entries(descriptor, status)
    if _may_traverse(status, entries, uid, gid):
        return False
    if status.st_uid != 0:
        raise AccessListError(f"{directory} belongs to the user {user_name(status.st_uid)}")
    try:
        os.setxattr(descriptor, _ATTRIBUTE, _packed(_with_entry(entries, uid)))
    except OSError as error:
        raise AccessListError(
            f"{directory} does not support access lists: {error.strerror}"
        ) from None
    return True


def user_name(uid: int) -> str:
    """Return the name of a user, or the id of one without a name."""
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
        return [Entry(tag, _NO_ID, mode >> shift & 0o7) for tag, shift in shifts.items()]
    found = _ENTRY.iter_unpack(packed[len(_VERSION) :])
    return [Entry(tag, entry_id, permission) for tag, permission, entry_id in found]


def _packed(entries: Sequence[Entry]) -> bytes:
    lines = (_ENTRY.pack(entry.tag, entry.permission, entry.id) for entry in entries)
    return _VERSION + b"".join(lines)


def _may_traverse(status: os.stat_result, entries: Sequence[Entry], uid: int, gid: int) -> bool:
    """Return whether a user may traverse a directory, by the entry that applies."""
    mask = next((entry.permission for entry in entries if entry.tag == _MASK), 0o7)
    if status.st_uid == uid:
        return any(entry.permission & _TRAVERSE for entry in entries if entry.tag == _OWNER)
    named = [entry for entry in entries if (entry.tag, entry.id) == (_USER, uid)]
    group = [
        entry
        for entry in entries
        if (entry.tag == _OWNING_GROUP and status.st_gid == gid)
        or (entry.tag, entry.id) == (_GROUP, gid)
    ]
    if decisive := named or group:
        return any(entry.permission & mask & _TRAVERSE for entry in decisive)
    return any(entry.permission & _TRAVERSE for entry in entries if entry.tag == _OTHERS)


def _with_entry(entries: Sequence[Entry], uid: int) -> Sequence[Entry]:
    """Return the entries and one for a user, with a mask that gives no other entry more rights."""
    mask = next((entry.permission for entry in entries if entry.tag == _MASK), 0o7)
    old = next((e.permission for e in entries if (e.tag, e.id) == (_USER, uid)), 0)
    unmasked = [entry for entry in entries if entry.tag in (_OWNER, _OTHERS)]
    masked = [
        Entry(entry.tag, entry.id, entry.permission & mask)
        for entry in entries
        if entry.tag in (_USER, _OWNING_GROUP, _GROUP) and (entry.tag, entry.id) != (_USER, uid)
    ]
    masked.append(Entry(_USER, uid, old & mask | _TRAVERSE))
    mask = 0
    for entry in masked:
        mask |= entry.permission
    return sorted([*unmasked, *masked, Entry(_MASK, _NO_ID, mask)])

"""Imported password hashes, verified by the libraries that read them.

The libraries are imported on first use: together they take 80 ms and 5 MiB, and most servers
import no users.
"""

import threading

BCRYPT_BYTES = 72  # bcrypt reads no more of a password

_loading_bcrypt = threading.Lock()


def verify_bcrypt(text: str, password: str) -> bool:
    """Return whether a password matches a plain bcrypt hash of its first 72 bytes."""
    return verify_passlib("bcrypt", text, password.encode()[:BCRYPT_BYTES])


def verify_passlib(handler: str, text: str, password: str | bytes) -> bool:
    """Return whether a password matches a hash of one of passlib's handlers."""
    import passlib.exc
    import passlib.hash

    with _loading_bcrypt:  # passlib's own loading fails if two threads load at once
        passlib.hash.bcrypt.set_backend()
    hasher = getattr(passlib.hash, handler)
    try:
        return bool(hasher.verify(password, text))
    except passlib.exc.PasswordValueError:  # NUL for bcrypt, or more than 4096 characters
        hasher.verify("", text)  # takes as long as any other wrong password
        return False


def verify_werkzeug(text: str, password: str) -> bool:
    """Return whether a password matches a hash in one of Werkzeug's formats."""
    from werkzeug.security import check_password_hash

    return check_password_hash(text, password)


def verify_argon2(text: str, password: str) -> bool:
    """Return whether a password matches an Argon2 hash in PHC form."""
    from argon2 import PasswordHasher
    from argon2.exceptions import VerifyMismatchError

    try:
        return PasswordHasher().verify(text, password)
    except VerifyMismatchError:
        return False

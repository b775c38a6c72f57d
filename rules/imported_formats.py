"""Formats of imported password hashes: how each is recognized and parsed.

Werkzeug verifies its own formats and, rewritten as these, Django's pbkdf2 and scrypt. passlib
verifies bcrypt, its own pbkdf2 and bcrypt_sha256, Django's bcrypt_sha256, and scrypt in PHC form;
argon2-cffi verifies Argon2.
"""

import base64
import binascii
import re
import string
from functools import partial

from rules import imported_bounds as bounds
from rules.imported_parsed import HashFormat, ParsedHash
from rules.imported_verifiers import (
    BCRYPT_BYTES,
    verify_argon2,
    verify_bcrypt,
    verify_passlib,
    verify_werkzeug,
)

_BCRYPT_ALPHABET = "./" + string.ascii_uppercase + string.ascii_lowercase + string.digits
_DIGEST_BYTES = {"sha1": 20, "sha256": 32, "sha512": 64}
_SCRYPT_MAX_LN = 31
_SCRYPT_BYTES = 64
_PHC_SCRYPT_BYTES = 32


def _parse_bcrypt(match: re.Match[str]) -> ParsedHash:
    matches = partial(verify_bcrypt, match["begin"] + _without_unused_bits(match))
    return ParsedHash(matches, _bcrypt_costs(match), max_bytes=BCRYPT_BYTES)


def _parse_django_bcrypt_sha256(match: re.Match[str]) -> ParsedHash:
    text = "bcrypt_sha256$" + match["begin"] + _without_unused_bits(match)
    return ParsedHash(partial(verify_passlib, "django_bcrypt_sha256", text), _bcrypt_costs(match))


def _parse_passlib_bcrypt_sha256(match: re.Match[str]) -> ParsedHash:
    matches = partial(verify_passlib, "bcrypt_sha256", match.string)
    return ParsedHash(matches, _bcrypt_costs(match))


def _parse_werkzeug_pbkdf2(match: re.Match[str]) -> ParsedHash:
    return _pbkdf2(match, bytes.fromhex(match["hash"]))


def _parse_django_pbkdf2(match: re.Match[str]) -> ParsedHash:
    return _pbkdf2(match, _decode(match["hash"]))


def _parse_passlib_pbkdf2(match: re.Match[str]) -> ParsedHash:
    # passlib writes "." in place of "+".
    salt, digest = (_decode(match[part].replace(".", "+")) for part in ("salt", "hash"))
    function, iterations = match["digest"] or "sha1", int(match["iterations"])
    costs = bounds.pbkdf2_costs(iterations)
    bounds.check_size("pbkdf2's hash", digest, _DIGEST_BYTES[function])
    handler = f"pbkdf2_{function}"
    prefix = "pbkdf2" if function == "sha1" else f"pbkdf2-{function}"
    parts = (_encode(part).replace("+", ".") for part in (salt, digest))
    text = f"${prefix}${iterations}$" + "$".join(parts)
    return ParsedHash(partial(verify_passlib, handler, text), costs, reads_nul=False)


def _parse_werkzeug_scrypt(match: re.Match[str]) -> ParsedHash:
    return _scrypt(match, bytes.fromhex(match["hash"]))


def _parse_django_scrypt(match: re.Match[str]) -> ParsedHash:
    return _scrypt(match, _decode(match["hash"]))


def _parse_phc_scrypt(match: re.Match[str]) -> ParsedHash:
    # passlib and the PHC write log2 N without padding; Kratos writes N itself, and padding.
    ln = int(match["ln"])
    n = 1 << ln if ln <= _SCRYPT_MAX_LN else ln
    r, p = int(match["r"]), int(match["p"])
    costs = bounds.scrypt_costs(n, r, p)
    salt, digest = _decode(match["salt"]), _decode(match["hash"])
    bounds.check_size("scrypt's hash", digest, _PHC_SCRYPT_BYTES)
    text = f"$scrypt$ln={n.bit_length() - 1},r={r},p={p}${_encode(salt)}${_encode(digest)}"
    return ParsedHash(partial(verify_passlib, "scrypt", text), costs, 128 * n * r, reads_nul=False)


def _parse_argon2(match: re.Match[str]) -> ParsedHash:
    kib = int(match["m"])
    costs = bounds.argon2_costs(kib, int(match["t"]), int(match["p"]))
    bounds.check_argon2_sizes(_decode(match["salt"]), _decode(match["hash"]))
    # The library reads the parameters in this order only.
    parameters = f"m={kib},t={match['t']},p={match['p']}"
    text = f"{match['begin']}{parameters}${match['salt']}${match['hash']}"
    return ParsedHash(partial(verify_argon2, text), costs, kib * 1024)


def _bcrypt_costs(match: re.Match[str]) -> tuple[bounds.Cost, ...]:
    return bounds.bcrypt_costs(int(match["cost"]))


def _pbkdf2(match: re.Match[str], digest: bytes) -> ParsedHash:
    function, iterations = match["digest"], int(match["iterations"])
    costs = bounds.pbkdf2_costs(iterations)
    bounds.check_size("pbkdf2's hash", digest, _DIGEST_BYTES[function])
    text = f"pbkdf2:{function}:{iterations}${match['salt']}${digest.hex()}"
    return ParsedHash(partial(verify_werkzeug, text), costs, reads_nul=False)


def _scrypt(match: re.Match[str], digest: bytes) -> ParsedHash:
    n, r, p = int(match["n"]), int(match["r"]), int(match["p"])
    costs = bounds.scrypt_costs(n, r, p)
    bounds.check_size("scrypt's hash", digest, _SCRYPT_BYTES)
    text = f"scrypt:{n}:{r}:{p}${match['salt']}${digest.hex()}"
    return ParsedHash(partial(verify_werkzeug, text), costs, 128 * n * r, reads_nul=False)


def _decode(text: str) -> bytes:
    unpadded = text.rstrip("=")
    try:
        value = base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("The password hash contains malformed base64.") from error
    if _encode(value) != unpadded:
        raise ValueError("The password hash contains base64 with unused bits set.")
    return value


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii").rstrip("=")


def _without_unused_bits(match: re.Match[str]) -> str:
    # 22 characters contain the 128 bits of a salt and 4 more, 31 the 184 of a hash and 2 more. Some
    # programs set the unused bits, which bcrypt ignores, and about which passlib warns.
    return _clear(match["salt"], unused=4) + _clear(match["hash"], unused=2)


def _clear(text: str, *, unused: int) -> str:
    last = _BCRYPT_ALPHABET.index(text[-1]) >> unused << unused
    return text[:-1] + _BCRYPT_ALPHABET[last]


_NUMBER = r"[1-9][0-9]*"
_TEXT_SALT = r"(?P<salt>[^$]+)"
_BASE64_SALT = r"(?P<salt>[A-Za-z0-9+/]+={0,2})"
_BASE64_HASH = r"(?P<hash>[A-Za-z0-9+/]+={0,2})"
_HEX_HASH = r"(?P<hash>(?:[0-9A-Fa-f]{2})+)"
_BCRYPT = (
    r"(?P<begin>\$2[aby]\$(?P<cost>[0-9]{2})\$)"
    r"(?P<salt>[./A-Za-z0-9]{22})(?P<hash>[./A-Za-z0-9]{31})"
)

FORMATS = (
    HashFormat(
        "bcrypt",
        ("$2a$", "$2b$", "$2y$", "bcrypt$", "{BCRYPT}", "{CRYPT}"),
        re.compile(rf"(?:bcrypt\$|\{{B?CRYPT\}})?{_BCRYPT}"),
        _parse_bcrypt,
    ),
    HashFormat(
        "Django's bcrypt_sha256",
        ("bcrypt_sha256$",),
        re.compile(rf"bcrypt_sha256\${_BCRYPT}"),
        _parse_django_bcrypt_sha256,
    ),
    HashFormat(
        "passlib's bcrypt_sha256",
        ("$bcrypt-sha256$",),
        # Salt and hash end in a character without unused bits: passlib writes no
        # others, and its HMAC is keyed with the salt's text.
        re.compile(
            rf"\$bcrypt-sha256\$(?:v=2,t=2b,r=|2[ab],)(?P<cost>{_NUMBER})"
            r"\$[./A-Za-z0-9]{21}[.Oeu]\$[./A-Za-z0-9]{30}[.CGKOSWaeimquy26]"
        ),
        _parse_passlib_bcrypt_sha256,
    ),
    HashFormat(
        "Werkzeug's pbkdf2",
        ("pbkdf2:",),
        re.compile(
            rf"pbkdf2:(?P<digest>sha1|sha256|sha512):(?P<iterations>{_NUMBER})"
            rf"\${_TEXT_SALT}\${_HEX_HASH}"
        ),
        _parse_werkzeug_pbkdf2,
    ),
    HashFormat(
        "passlib's and Kratos's pbkdf2",
        ("$pbkdf2$", "$pbkdf2-"),
        re.compile(
            rf"\$pbkdf2(?:-(?P<digest>sha1|sha256|sha512))?\$"
            rf"(?:i=)?(?P<iterations>{_NUMBER})(?:,l={_NUMBER})?"
            r"\$(?P<salt>[A-Za-z0-9+./]+={0,2})\$(?P<hash>[A-Za-z0-9+./]+={0,2})"
        ),
        _parse_passlib_pbkdf2,
    ),
    HashFormat(
        "Django's pbkdf2",
        ("pbkdf2_sha1$", "pbkdf2_sha256$"),
        re.compile(
            rf"pbkdf2_(?P<digest>sha1|sha256)\$(?P<iterations>{_NUMBER})"
            rf"\${_TEXT_SALT}\${_BASE64_HASH}"
        ),
        _parse_django_pbkdf2,
    ),
    HashFormat(
        "Werkzeug's scrypt",
        ("scrypt:",),
        re.compile(
            rf"scrypt:(?P<n>{_NUMBER}):(?P<r>{_NUMBER}):(?P<p>{_NUMBER})\${_TEXT_SALT}\${_HEX_HASH}"
        ),
        _parse_werkzeug_scrypt,
    ),
    HashFormat(
        "Django's scrypt",
        ("scrypt$",),
        re.compile(
            rf"scrypt\$(?P<n>{_NUMBER})\${_TEXT_SALT}"
            rf"\$(?P<r>{_NUMBER})\$(?P<p>{_NUMBER})\${_BASE64_HASH}"
        ),
        _parse_django_scrypt,
    ),
    HashFormat(
        "scrypt",
        ("$scrypt$",),
        re.compile(
            rf"\$scrypt\$ln=(?P<ln>{_NUMBER}),r=(?P<r>{_NUMBER}),p=(?P<p>{_NUMBER})"
            rf"\${_BASE64_SALT}\${_BASE64_HASH}"
        ),
        _parse_phc_scrypt,
    ),
    HashFormat(
        "argon2",
        ("$argon2i$", "$argon2id$", "argon2$"),
        re.compile(
            r"(?:argon2)?(?P<begin>\$argon2id?\$(?:v=(?:16|19)\$)?)"
            rf"(?=[^$]*m=(?P<m>{_NUMBER}))(?=[^$]*t=(?P<t>{_NUMBER}))(?=[^$]*p=(?P<p>{_NUMBER}))"
            rf"[mtp]={_NUMBER},[mtp]={_NUMBER},[mtp]={_NUMBER}"
            r"\$(?P<salt>[A-Za-z0-9+/]+)\$(?P<hash>[A-Za-z0-9+/]+)"
        ),
        _parse_argon2,
    ),
)

"""Password hashes of other services, made by the libraries that these use."""

import unicodedata
from concurrent.futures import ThreadPoolExecutor

import bcrypt
import pytest

from rules.imported_hashes import check, read
from tests.harness.imported_users import MAKERS, Maker, by_bcrypt, by_bcrypt_2a, by_bcrypt_2y

every_format = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
PLAIN_BCRYPT = [by_bcrypt_2a, by_bcrypt, by_bcrypt_2y]
LONG = "0123456789" * 7 + "ab"


@every_format
def test_a_hash_of_each_service_is_accepted_and_verified(make: Maker) -> None:
    stored = make("correct horse")
    check(stored)
    assert read(stored).matches("correct horse")
    assert not read(stored).matches("Correct horse")
    assert not read(stored).matches("")


@every_format
def test_a_password_may_be_in_any_script(make: Maker) -> None:
    stored = make("пароль😀 密码")
    assert read(stored).matches("пароль😀 密码")
    assert not read(stored).matches("пароль😀 密碼")


@every_format
def test_a_password_is_tried_as_typed_and_in_nfc(make: Maker) -> None:
    composed = unicodedata.normalize("NFC", "pässwörd")
    decomposed = unicodedata.normalize("NFD", "pässwörd")
    assert read(make(composed)).matches(composed)
    assert read(make(composed)).matches(decomposed)
    assert read(make(decomposed)).matches(decomposed)
    assert not read(make(decomposed)).matches(composed)


@every_format
def test_passwords_with_nul_or_of_huge_length_do_not_match(make: Maker) -> None:
    stored = make("correct horse")
    assert not read(stored).matches("correct\0horse")
    assert not read(stored).matches("x" * 10_000)


@every_format
def test_a_truncated_or_extended_hash_is_rejected(make: Maker) -> None:
    stored = make("correct horse")
    for text in (stored + "$", stored + "\n", " " + stored, stored[: stored.rindex("$") + 1]):
        with pytest.raises(ValueError, match=r"hash"):
            check(text)
        with pytest.raises(ValueError, match=r"hash"):
            read(text).matches("correct horse")


@pytest.mark.parametrize("make", PLAIN_BCRYPT)
def test_imported_bcrypt_reads_72_bytes(make: Maker) -> None:
    assert len(LONG) == 72
    stored = make(LONG)
    assert read(stored).matches(LONG)
    assert read(stored).matches(LONG + "more")
    assert not read(stored).matches(LONG[:-1] + "x")


@pytest.mark.parametrize("make", PLAIN_BCRYPT)
def test_imported_bcrypt_matches_no_nul(make: Maker) -> None:
    assert not read(make("correct horse")).matches("correct horse\0")
    assert not read(make("")).matches("\0")
    assert read(make(LONG)).matches(LONG + "\0")  # beyond the limit


def test_the_72_byte_limit_may_split_a_character() -> None:
    salt = bcrypt.gensalt(4)
    stored = bcrypt.hashpw(("x" * 71 + "ä").encode()[:72], salt).decode()
    assert read(stored).matches("x" * 71 + "ä")
    assert read(stored).matches("x" * 71 + "ö")  # its first byte is the same
    assert not read(stored).matches("x" * 71 + "y")


@pytest.mark.parametrize("name", ["django bcrypt_sha256", "passlib bcrypt_sha256", "argon2id"])
def test_formats_without_a_limit_read_the_whole_password(name: str) -> None:
    stored = MAKERS[name](LONG + "more")
    assert read(stored).matches(LONG + "more")
    assert not read(stored).matches(LONG + "less")


def test_unused_bits_of_a_bcrypt_salt_and_hash_are_ignored() -> None:
    alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    stored = by_bcrypt("correct horse")
    salt_end, hash_end = (alphabet[alphabet.index(stored[at]) + 1] for at in (28, 59))
    unclean = stored[:28] + salt_end + stored[29:59] + hash_end
    check(unclean)
    assert read(unclean).matches("correct horse")
    assert not read(unclean).matches("Correct horse")


def test_several_threads_can_verify_at_once() -> None:
    stored = [make("correct horse") for make in MAKERS.values()]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda text: read(text).matches("correct horse"), stored))


BCRYPT_END = "5BJqKfqMQvV7nS.yUguNcueVirQqDBGaLXSqj.rs.pZPlNR0UX/HK"
SHA256 = "00" * 32
SHA256_BASE64 = "A" * 43
SCRYPT_BASE64 = "A" * 86 + "=="
ARGON2_END = f"c29tZXNhbHQ${SHA256_BASE64}"


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ("", "unknown format"),
        ("correct horse", "unknown format"),
        ("5f4dcc3b5aa765d61d8327deb882cf99", "unknown format"),
        (f"$2x$10${BCRYPT_END}", "unknown format"),
        (f"$userauth-bcrypt-sha384$2b$10${BCRYPT_END}", "unknown format"),
        ("sha1$salt$" + "0" * 40, "unknown format"),
        ("$1$salt$qJH7.N4xYta3aEG/dfqo/0", "unknown format"),
        ("$argon2d$v=19$m=64,t=1,p=1$" + ARGON2_END, "unknown format"),
        ("!", "unknown format"),
        ("$2b$10$ü", "printable ASCII"),
        (f"$2b$10${BCRYPT_END}\0", "printable ASCII"),
        ("pbkdf2:sha256:10$sa\nlt$" + SHA256, "printable ASCII"),
        ("pbkdf2:sha256:10$" + "s" * 1000 + "$" + SHA256, "1000 characters"),
        (f"$2b$1${BCRYPT_END}", "well-formed hash of bcrypt"),
        (f"$2b$10${BCRYPT_END[:-1]}", "well-formed hash of bcrypt"),
        (f"$2b$10${BCRYPT_END[:-1]}_", "well-formed hash of bcrypt"),
        (f"$2b$03${BCRYPT_END}", "cost is not 4 to 18"),
        (f"$2b$19${BCRYPT_END}", "cost is not 4 to 18"),
        (f"bcrypt_sha256$$2b$31${BCRYPT_END}", "cost is not 4 to 18"),
        (f"bcrypt_sha256$2b$12${BCRYPT_END}", "well-formed hash of Django's bcrypt_sha256"),
        (
            f"$bcrypt-sha256$v=2,t=2b,r=19${BCRYPT_END[:22]}${BCRYPT_END[22:]}",
            "cost is not 4 to 18",
        ),
        (
            f"$bcrypt-sha256$v=3,t=2b,r=12${BCRYPT_END[:22]}${BCRYPT_END[22:]}",
            "well-formed hash of passlib's bcrypt_sha256",
        ),
        ("pbkdf2:sha256:10$salt$" + SHA256[:-2], "is not 32 bytes long"),
        ("pbkdf2:sha512:10$salt$" + SHA256, "is not 64 bytes long"),
        ("pbkdf2:sha256:10$salt$" + "zz" * 32, "well-formed hash of Werkzeug's pbkdf2"),
        ("pbkdf2:sha256:10$$" + SHA256, "well-formed hash of Werkzeug's pbkdf2"),
        ("pbkdf2:md5:10$salt$" + "00" * 16, "well-formed hash of Werkzeug's pbkdf2"),
        ("pbkdf2:sha256:0$salt$" + SHA256, "well-formed hash of Werkzeug's pbkdf2"),
        ("pbkdf2:sha256:10000001$salt$" + SHA256, "iterations is not 1 to 10000000"),
        ("pbkdf2:sha256:" + "9" * 900 + "$s$" + SHA256, "iterations is not 1 to 10000000"),
        (f"pbkdf2_sha256$10000001$salt${SHA256_BASE64}=", "iterations is not 1 to 10000000"),
        (f"pbkdf2_sha256$10$salt${SHA256_BASE64[:-1]}B=", "unused bits"),
        (f"pbkdf2_sha256$10$salt${SHA256_BASE64[:-2]}", "malformed base64"),
        ("pbkdf2_sha256$10$salt$AAAA", "is not 32 bytes long"),
        ("scrypt:1000:8:1$salt$" + "00" * 64, "power of two"),
        ("scrypt:64:8:1$salt$" + "00" * 64, "power of two"),
        ("scrypt:65536:1:1$salt$" + "00" * 64, "less than 2"),
        ("scrypt:1024:8:1$salt$" + "00" * 32, "is not 64 bytes long"),
        ("scrypt:1024:8:17$salt$" + "00" * 64, "p is not 1 to 16"),
        ("scrypt:524288:8:1$salt$" + "00" * 64, "memory in bytes is not"),
        ("scrypt:1024:4096:1$salt$" + "00" * 64, "memory in bytes is not"),
        ("scrypt:262144:8:5$salt$" + "00" * 64, "times p is not"),
        (f"scrypt$524288$salt$8$1${SCRYPT_BASE64}", "memory in bytes is not"),
        (f"scrypt$1024$salt$8${SCRYPT_BASE64}", "well-formed hash of Django's scrypt"),
        (f"$scrypt$ln=19,r=8,p=1$c2FsdA${SHA256_BASE64}", "memory in bytes is not"),
        (f"$scrypt$ln=31,r=8,p=1$c2FsdA${SHA256_BASE64}", "memory in bytes is not"),
        (f"$scrypt$ln=32,r=8,p=1$c2FsdA${SHA256_BASE64}", "power of two"),
        (f"$scrypt$ln=10,r=8,p=1$c2FsdA${SCRYPT_BASE64}", "is not 32 bytes long"),
        (f"$scrypt$ln=10,r=8,p=1$c2Fsd${SHA256_BASE64}", "malformed base64"),
        (f"$scrypt$r=8,ln=10,p=1$c2FsdA${SHA256_BASE64}", "well-formed hash of scrypt"),
        (f"$argon2id$v=19$m=1048577,t=1,p=1${ARGON2_END}", "memory in KiB is not"),
        (f"$argon2id$v=19$m=1048576,t=5,p=1${ARGON2_END}", "times passes is not"),
        (f"$argon2id$v=19$m=64,t=33,p=1${ARGON2_END}", "passes is not 1 to 32"),
        (f"$argon2id$v=19$m=1024,t=1,p=65${ARGON2_END}", "lanes is not 1 to 64"),
        (f"$argon2id$v=19$m=64,t=1,p=9${ARGON2_END}", "8 KiB per lane"),
        (f"$argon2id$v=18$m=64,t=1,p=1${ARGON2_END}", "well-formed hash of argon2"),
        (f"$argon2id$v=19$m=64,t=1,p=1$c2FsdA${SHA256_BASE64}", "shorter than 8 bytes"),
        ("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAA", "shorter than 16 bytes"),
        (f"argon2$argon2id$v=19$m=1048577,t=1,p=1${ARGON2_END}", "memory in KiB is not"),
    ],
)
def test_a_malformed_or_absurd_hash_is_rejected_with_a_reason(stored: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as rejected:
        check(stored)
    assert SHA256_BASE64[:20] not in str(rejected.value)
    assert BCRYPT_END[:20] not in str(rejected.value)
    with pytest.raises(ValueError, match=reason):
        read(stored).matches("correct horse")


@pytest.mark.parametrize(
    "stored",
    [
        f"$2b$18${BCRYPT_END}",
        f"pbkdf2_sha256$10000000$salt${SHA256_BASE64}=",
        "scrypt:262144:8:4$salt$" + "00" * 64,
        f"$scrypt$ln=18,r=8,p=4$c2FsdA${SHA256_BASE64}",
        f"$argon2id$v=19$m=1048576,t=4,p=64${ARGON2_END}",
    ],
)
def test_the_most_expensive_hashes_are_accepted_only_where_allowed(stored: str) -> None:
    check(stored, allow_expensive=True)
    with pytest.raises(ValueError, match="the maximum that is accepted by default"):
        check(stored)


@pytest.mark.parametrize(
    "stored",
    [
        f"$2b$14${BCRYPT_END}",
        f"pbkdf2_sha256$2000000$salt${SHA256_BASE64}=",
        "scrypt:131072:8:2$salt$" + "00" * 64,
        f"$scrypt$ln=17,r=8,p=1$c2FsdA${SHA256_BASE64}",
        f"$argon2id$v=19$m=131072,t=4,p=4${ARGON2_END}",
        f"$argon2id$v=19$m=65536,t=3,p=4${ARGON2_END}",
    ],
)
def test_what_owasp_and_the_libraries_recommend_is_accepted_by_default(stored: str) -> None:
    check(stored)


@pytest.mark.parametrize(
    "stored",
    [
        f"$2b$15${BCRYPT_END}",
        f"pbkdf2_sha256$2000001$salt${SHA256_BASE64}=",
        "scrypt:131072:8:3$salt$" + "00" * 64,
        f"$scrypt$ln=18,r=8,p=1$c2FsdA${SHA256_BASE64}",
        f"$argon2id$v=19$m=131073,t=1,p=1${ARGON2_END}",
        f"$argon2id$v=19$m=131072,t=5,p=1${ARGON2_END}",
    ],
)
def test_a_more_expensive_hash_is_rejected_by_default_and_still_readable(stored: str) -> None:
    with pytest.raises(ValueError, match="the maximum that is accepted by default"):
        check(stored)
    read(stored)


@pytest.mark.parametrize("name", ["bcrypt 2b", "passlib bcrypt_sha256", "django bcrypt_sha256"])
@pytest.mark.parametrize("password", ["x" * 5000, "nul\0"])
def test_a_password_that_cannot_match_still_costs_a_hash(
    name: str, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = MAKERS[name]("correct horse")
    read(stored).matches("correct horse")  # loads the bcrypt of passlib
    rounds = []
    hashpw = bcrypt.hashpw

    def recorded(password: bytes, salt: bytes) -> bytes:
        rounds.append(salt)
        return hashpw(password, salt)

    monkeypatch.setattr(bcrypt, "hashpw", recorded)
    assert not read(stored).matches(password)
    assert len(rounds) == 1


def test_hashes_that_take_the_same_time_have_one_kind() -> None:
    assert read(by_bcrypt("one")).kind == read(by_bcrypt_2y("other")).kind
    kinds = {name: read(make("correct horse")).kind for name, make in MAKERS.items()}
    assert kinds["django pbkdf2_sha1"] != kinds["django pbkdf2_sha256"]
    assert kinds["werkzeug scrypt"] != kinds["werkzeug scrypt, highest p"]
    assert kinds["bcrypt 2b"] != read(f"$2b$05${BCRYPT_END}").kind
    assert not [kind for kind in kinds.values() if "salt" in kind or "hash=" in kind]


def test_a_hash_knows_how_much_memory_it_takes() -> None:
    assert read(f"$argon2id$v=19$m=131072,t=1,p=1${ARGON2_END}").memory == 128 * 2**20
    assert read(f"$scrypt$ln=16,r=8,p=1$c2FsdA${SHA256_BASE64}").memory == 64 * 2**20
    assert read(f"$2b$12${BCRYPT_END}").memory == 0


@every_format
def test_a_match_proves_all_of_a_password_within_the_limit(make: Maker) -> None:
    assert read(make("x")).reads_whole("x" * 72)
    assert read(make("x")).reads_whole("ä" * 36)


@pytest.mark.parametrize("name", ["bcrypt 2a", "bcrypt 2b", "bcrypt 2y", "django bcrypt"])
@pytest.mark.parametrize("password", ["x" * 73, "ä" * 37, "a\N{COMBINING DIAERESIS}" * 25])
def test_a_match_of_a_truncating_format_does_not_prove_the_end(name: str, password: str) -> None:
    assert not read(MAKERS[name]("x")).reads_whole(password)


@pytest.mark.parametrize(
    "name", ["werkzeug scrypt", "werkzeug sha256", "django pbkdf2_sha1", "passlib scrypt"]
)
def test_a_match_of_a_padding_format_does_not_prove_a_nul(name: str) -> None:
    stored = read(MAKERS[name]("correct horse"))
    assert stored.matches("correct horse\0")
    assert not stored.reads_whole("correct horse\0")


@pytest.mark.parametrize("name", ["argon2id", "argon2i", "django argon2"])
def test_a_format_that_reads_every_byte_reads_a_nul(name: str) -> None:
    stored = read(MAKERS[name]("correct horse"))
    assert not stored.matches("correct horse\0")
    assert stored.reads_whole("x" * 5000)

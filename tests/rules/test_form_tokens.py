"""Tokens of forms."""

from rules.form_tokens import is_form_token, issue_form_token

NEW, OLD = "n" * 32, "o" * 32


def test_a_token_is_valid_for_its_cookie_alone() -> None:
    token = issue_form_token(NEW, "cookie")
    assert is_form_token(token, [NEW], ["cookie"])
    assert is_form_token(token, [NEW], ["another", "cookie"])
    assert not is_form_token(token, [NEW], ["another"])
    assert not is_form_token(token, [NEW], [])


def test_every_configured_key_verifies_it_and_no_other() -> None:
    token = issue_form_token(OLD, "cookie")
    assert is_form_token(token, [NEW, OLD], ["cookie"])
    assert not is_form_token(token, [NEW], ["cookie"])


def test_an_altered_or_empty_token_is_invalid() -> None:
    token = issue_form_token(NEW, "cookie")
    for altered in ("", token[:-1], token + "A", token.swapcase(), "\u00e4" + token, "=" + token):
        assert not is_form_token(altered, [NEW], ["cookie"])

"""The rules for the fields of an account."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rules.emails import normalize_email
from rules.field_errors import FieldErrors
from rules.password_rules import PasswordRules


@dataclass(frozen=True, slots=True)
class AccountRules:
    """The rules for new passwords and for email addresses.

    ``internal_domains`` accepts addresses such as susan@corp.local.
    """

    passwords: PasswordRules
    internal_domains: bool

    def normalize_email(self, text: str) -> str:
        """Return an address in its normal form; raises ValueError with a reason."""
        return normalize_email(text, allow_internal=self.internal_domains)

    def check_password(self, password: str, own_words: Sequence[str]) -> None:
        """Check a new password; raises InvalidFields. ``own_words`` are words about the user."""
        errors = FieldErrors()
        errors.check("password", partial(self.passwords.check, own_words=own_words), password)
        errors.raise_if_any()

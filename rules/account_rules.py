"""The rules for the fields of an account."""

from dataclasses import dataclass

from rules.emails import normalize_email
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

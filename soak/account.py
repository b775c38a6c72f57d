"""The user of a mail client: the state that a server has acknowledged."""

from dataclasses import dataclass, field

from soak.calls import PasswordCredentials


@dataclass(slots=True)
class Account:
    """A user; ``is_certain`` unless the outcome of a call is unknown."""

    email: str
    password: str
    is_verified: bool = False
    old_passwords: list[str] = field(default_factory=list)
    old_emails: list[str] = field(default_factory=list)
    is_certain: bool = False

    @property
    def credentials(self) -> PasswordCredentials:
        return PasswordCredentials(self.email, self.password)

    def set_password(self, password: str) -> None:
        self.old_passwords.append(self.password)
        self.password = password

    def set_email(self, email: str) -> None:
        self.old_emails.append(self.email)
        self.email = email

"""The site that the pages belong to, and the features that its settings disable."""

from dataclasses import dataclass

from rules.errors import MailDisabled, RegistrationClosed
from settings.pages import FooterLink


@dataclass(frozen=True, slots=True)
class Site:
    """The site as all pages show it. Disabled features are neither linked nor accepted."""

    title: str
    has_logo: bool
    links: tuple[FooterLink, ...]
    can_register: bool
    sends_messages: bool
    min_password_length: int

    def require_registration(self) -> None:
        """Raise RegistrationClosed if only administrators create accounts."""
        if not self.can_register:
            raise RegistrationClosed

    def require_messages(self) -> None:
        """Raise MailDisabled if this server sends no messages."""
        if not self.sends_messages:
            raise MailDisabled

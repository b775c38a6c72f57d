"""/auth/language: the language of the pages in this browser, and of messages to the user."""

from typing import ClassVar

from pages.base import SEND, SIGN_IN, PageHandler
from pages.forms import PageForm
from rules.errors import FieldError, InvalidFields
from rules.return_path import MAX_URL_LENGTH, read_path
from settings.choices import Language


class LanguageForm(PageForm):
    language: str


class LanguagePage(PageHandler):
    calls: ClassVar = {"POST": SEND}
    form = LanguageForm

    async def post(self) -> None:
        chosen = LanguageForm.of(self.parameters).language
        if chosen not in self.pages.renderer.languages:
            raise InvalidFields([FieldError("language", "is not a language of the pages")])
        # There are no messages in a language that an administrator added.
        if self.session is not None and chosen in [*Language]:
            await self.application.services.accounts.set_language(
                self.session.identity, Language(chosen), self.origin
            )
        path = read_path(self.parameters.get("next"), MAX_URL_LENGTH) or SIGN_IN
        # Back to the page with the switch, which is below /auth/.
        self.go_to(
            path if path.startswith("/auth/") else SIGN_IN,
            (self.cookies_of_pages.set_language(chosen),),
        )


routes = [(r"/auth/language", LanguagePage)]

"""/auth/language: the language of the pages in this browser."""

from typing import ClassVar

from pages.base import SEND, SIGN_IN, PageHandler
from pages.forms import PageForm
from rules.errors import FieldError, InvalidFields


class LanguageForm(PageForm):
    language: str


class LanguagePage(PageHandler):
    calls: ClassVar = {"POST": SEND}
    form = LanguageForm

    def post(self) -> None:
        chosen = LanguageForm.of(self.parameters).language
        if chosen not in self.pages.renderer.languages:
            raise InvalidFields([FieldError("language", "is not a language of the pages")])
        path = self.return_path or SIGN_IN
        # Back to the page with the switch, which is below /auth/.
        self.go_to(
            path if path.startswith("/auth/") else SIGN_IN,
            (self.cookies_of_pages.set_language(chosen),),
        )


routes = [(r"/auth/language", LanguagePage)]

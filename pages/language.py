"""/auth/language: the language of the pages in this browser."""

from typing import ClassVar

from pages.base import SEND, SIGN_IN, PageHandler
from pages.forms import PageForm
from rules.errors import FieldError, InvalidFields
from settings.choices import Language


class LanguageForm(PageForm):
    language: str


class LanguagePage(PageHandler):
    calls: ClassVar = {"POST": SEND}
    template = "problem"
    form = LanguageForm

    def post(self) -> None:
        chosen = LanguageForm.from_parameters(self.parameters).language
        if chosen not in [*Language]:
            raise InvalidFields([FieldError("language", "is not a language of the pages")])
        path = self.return_path or SIGN_IN
        # Back to the page with the switch, which is below /auth/.
        self.go_to(
            path if path.startswith("/auth/") else SIGN_IN,
            (self.cookies_of_pages.set_language(chosen),),
        )


routes = [(r"/auth/language", LanguagePage)]

"""The pages for people with a browser: one module per page, and here the routes of all."""

from pages import account, forgot, home, language, reset, sign_in, sign_out, sign_up, undo, verify

page_routes = [
    *home.routes,
    *sign_in.routes,
    *sign_out.routes,
    *sign_up.routes,
    *forgot.routes,
    *reset.routes,
    *verify.routes,
    *undo.routes,
    *language.routes,
    *account.routes,
]

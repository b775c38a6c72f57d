"""The pages for people with a browser: one module per page, and here the routes of all."""

from pages import account, home, language, sign_in, sign_out

page_routes = [
    *home.routes,
    *sign_in.routes,
    *sign_out.routes,
    *language.routes,
    *account.routes,
]

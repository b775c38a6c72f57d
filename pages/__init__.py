"""The pages for people with a browser: one module per page, and here the routes of all."""

from pages import (
    account,
    account_data,
    account_delete,
    account_devices,
    account_email,
    account_events,
    account_name,
    account_password,
    home,
    language,
    sign_in,
    sign_out,
)

page_routes = [
    *home.routes,
    *sign_in.routes,
    *sign_out.routes,
    *language.routes,
    *account.routes,
    *account_name.routes,
    *account_email.routes,
    *account_password.routes,
    *account_devices.routes,
    *account_events.routes,
    *account_data.routes,
    *account_delete.routes,
]

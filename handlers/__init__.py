"""The paths of the API: one module per resource, and the routes of all modules here."""

from handlers import (
    email,
    events,
    health,
    login,
    password_reset,
    token,
    tokens,
    user,
    verification,
    verify,
)

routes = [
    *user.routes,
    *verification.routes,
    *password_reset.routes,
    *email.routes,
    *login.routes,
    *tokens.routes,
    *events.routes,
    *token.routes,
    *verify.routes,
    *health.routes,
]

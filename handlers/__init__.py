"""The paths of the API: one module per URL noun, and here the routes of all."""

from handlers import events, health, login, token, tokens, user, verify

routes = [
    *user.routes,
    *login.routes,
    *tokens.routes,
    *events.routes,
    *token.routes,
    *verify.routes,
    *health.routes,
]

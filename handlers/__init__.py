"""HTTP and nothing else: one module per URL noun; here, all their routes."""

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

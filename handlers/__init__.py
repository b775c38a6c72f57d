"""HTTP and nothing else: one module per URL noun; here, all their routes."""

from handlers import health, login, user

routes = [*user.routes, *login.routes, *health.routes]

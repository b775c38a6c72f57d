"""The body of calls that destroy something: nothing, or the current password."""

from contract.fields import CurrentPassword
from contract.forms import Form

# What the calls say of it.
CONFIRMED = (
    "With `passwords.current_required`, a request that presents a token needs `current_password`."
)


class Confirmation(Form):
    """The current password. It is looked at whenever it is sent; a wrong one changes nothing."""

    current_password: CurrentPassword | None = None

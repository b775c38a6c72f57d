"""The optional body of destructive calls: the current password."""

from contract.fields import CurrentPassword
from contract.forms import Form

# The description of such a call.
CONFIRMED = (
    "With `passwords.current_required`, a request that presents a token needs `current_password`."
)


class Confirmation(Form):
    """The current password. It is verified whenever it is sent; a wrong one changes nothing."""

    current_password: CurrentPassword | None = None

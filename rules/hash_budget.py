"""How many hashes the right and new passwords of one user may take."""

from rules.budget import Budget
from rules.errors import TooManyAttempts


class HashBudget:
    """Limits the hashes of each user.

    Wrong passwords take nothing from the budget: otherwise a stranger could lock the user out.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def check(self, user_id: str | None) -> None:
        """Raise TooManyAttempts where the budget of a user is exhausted; None is unknown."""
        wait = 0 if user_id is None else self._budget.wait_seconds(user_id)
        if wait:
            raise TooManyAttempts(wait)

    def spend(self, user_id: str) -> None:
        """Count a hash."""
        self._budget.spend(user_id)

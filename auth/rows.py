"""What services return of the database, for those above, who do not import it."""

from db.rows import EventRow, MovedUser, TokenRow, UserRow, UserStateRow

__all__ = ["EventRow", "MovedUser", "TokenRow", "UserRow", "UserStateRow"]

"""The form of the ids of users, tokens, messages and events."""

# A UUID in lower case, whatever its version; without groups, for patterns that have their own.
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

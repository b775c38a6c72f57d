"""Other servers that perform the same work, each in its own virtual environment."""

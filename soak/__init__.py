"""A long mixed load on two servers, held against a book of what they acknowledged."""

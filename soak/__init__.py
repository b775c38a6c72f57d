"""A long mixed load on two servers, checked against a model of their acknowledged changes."""

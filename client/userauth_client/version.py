"""The version of the client library."""

VERSION = "0.1.0"

"""Measurements of the server against baselines: `python -m bench`."""

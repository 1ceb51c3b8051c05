"""Measures what the server costs; ``python -m bench.run --help``."""

"""Doubles of servers that nobody can have at home: for tests, demonstrations and vendors' own trials."""

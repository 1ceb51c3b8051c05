"""Registered systems."""

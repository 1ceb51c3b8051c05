"""Fictional Polish patients and documents for the demonstration."""

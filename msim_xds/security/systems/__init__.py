"""Registered systems: who a TLS certificate belongs to, what that system may do, and how often."""

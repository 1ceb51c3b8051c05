"""The framework's rules as rows: what is sent, and what comes back over SOAP."""

"""Other servers: the client side of the transactions."""

"""XCA: what other communities ask of this one, and what clients of this one ask of all."""

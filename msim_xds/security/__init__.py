"""Who did it, and can that be proven: signatures, certificates."""

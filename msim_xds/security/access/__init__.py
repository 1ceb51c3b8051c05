"""Access decisions: who may see and change which documents. Pure: no I/O but the policy file."""

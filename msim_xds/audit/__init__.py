"""The audit trail of ITI-20: what is recorded, kept with a chain of seals, and told to people."""

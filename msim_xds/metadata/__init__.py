"""The meaning of a submission: the model, its ebRIM form, and the rules. No I/O."""

"""Document Registry: registration, stored queries and their store (ITI TF-2 3.18, 3.42)."""

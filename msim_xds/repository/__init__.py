"""Document Repository: documents, their store, submission and retrieval (ITI TF-2 3.41, 3.43)."""

"""Import of whole archives: in process, in batches, by the rules of ITI-41, with original ids and dates."""

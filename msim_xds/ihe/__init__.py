"""What IHE prescribes, as data: transactions, attributes, queries, errors, codes. Imports nothing above."""

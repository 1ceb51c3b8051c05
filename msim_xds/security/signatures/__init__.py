"""XAdES signatures on documents (ETSI EN 319 132-1): what is signed, by whom, and whether that holds.

``validator.Validator`` is the way in. xmlsec, cryptography, asn1crypto and pyhanko-certvalidator do the
cryptography; what stands here are the rules of XAdES. Nothing is fetched: only octets handed in are looked
at, and what a ``material.Fetcher`` brings that the caller may give.
"""

"""XML schemas: the ebRS 3.0 subset that XDS uses, and IHE XDS.b."""

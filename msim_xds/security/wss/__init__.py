"""Signatures over whole messages (WSS SOAP Message Security 1.1, X.509 Certificate Token Profile).

``signing`` puts one on, ``verification`` says with which certificate one was made and over what.
"""

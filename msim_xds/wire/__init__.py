"""Bytes to messages and back, without I/O of its own: XML, SOAP envelopes, MTOM packages, answers."""

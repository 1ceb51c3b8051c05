"""WSDL files of the endpoints."""

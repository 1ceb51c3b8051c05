"""HTTP and SOAP: the front, Spyne, the pipeline, WSDL and pages."""

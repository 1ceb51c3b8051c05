"""IHE XDS.b Document Registry and Repository for regional health-information exchange."""

__version__ = "0.1.0"

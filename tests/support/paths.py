"""Where a client finds registry and repository on a server."""

REGISTRY, REPOSITORY = "/xds/registry", "/xds/repository"

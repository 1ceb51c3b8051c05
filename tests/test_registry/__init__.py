"""Tests of msim_xds.registry."""

"""Tests of msim_xds.federation."""

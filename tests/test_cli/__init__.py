"""Tests of msim_xds.cli."""

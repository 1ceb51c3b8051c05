"""Tests of msim_xds.database."""

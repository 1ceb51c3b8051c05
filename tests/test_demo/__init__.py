"""Tests of msim_xds.demo."""

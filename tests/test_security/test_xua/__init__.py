"""Tests of user assertions."""

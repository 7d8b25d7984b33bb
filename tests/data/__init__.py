"""Tests of acula_edge.data."""

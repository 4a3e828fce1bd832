"""Measures: numpy in, numpy out. No torch, no files, no tables."""

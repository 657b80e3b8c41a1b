"""Scores to numbers; never trains."""

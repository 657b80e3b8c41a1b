"""Data sets that a user without photos can be given: drawn here, or fetched from where they are published."""

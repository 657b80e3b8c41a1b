"""What is wrong with labelled photos, and what may be done about it; knows no networks."""

"""Files and labels; knows no networks."""

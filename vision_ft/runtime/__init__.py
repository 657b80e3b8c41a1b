"""From a bundle to predictions; no torch."""

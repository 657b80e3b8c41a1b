"""From a checkpoint to a bundle, through the gate."""

"""Time: the schedule, the unfreezing, the run folder and the Lightning command line."""

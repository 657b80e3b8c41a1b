"""One file a verb: arguments in, the rooms called in order, the next command printed. Nothing imports this room."""

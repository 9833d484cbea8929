"""A page on this machine: the whole CT in three planes, a click for an answer, and the reader's verdict kept."""

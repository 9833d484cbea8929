"""What each ``ctxai COMMAND`` does: one thin file per command."""

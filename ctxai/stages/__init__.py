"""One file per stage of the command line: the only place that knows more than one part."""

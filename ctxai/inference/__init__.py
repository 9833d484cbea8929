"""From a CT and its nodules to predictions, maps and result files."""

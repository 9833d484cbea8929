"""Vision DiffMask's gates and their training."""

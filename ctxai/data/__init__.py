"""What models see: the nodule store, its views, its Lightning data module."""

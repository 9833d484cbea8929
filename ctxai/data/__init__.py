"""Images for models: the nodule store, its views, its Lightning data module."""

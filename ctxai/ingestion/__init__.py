"""From annotated CT series to a nodule store."""

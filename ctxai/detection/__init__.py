"""Nodule candidates of a CT, by a detector that is given as a MONAI bundle."""

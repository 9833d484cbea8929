"""The run folder: configuration, weights, calibration, model card, MONAI bundle."""

"""Metrics of explanations, one file each; every module here is found by itself."""

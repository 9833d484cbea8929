"""Nodules drawn from the radiologists' outlines and ratings."""

"""Figures about predictions and explanations."""

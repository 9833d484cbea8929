"""Figures of a run's predictions, with intervals over patients."""

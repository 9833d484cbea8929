"""CT series as patient space has them: reading, geometry, patches. Knows nothing of LIDC or of models."""

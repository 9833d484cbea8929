"""LIDC-IDRI: annotations, consensus, cohort, phantom. Knows nothing of torch."""

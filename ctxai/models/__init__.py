"""DINO vision transformers with malignancy and biomarker heads, and the run folder."""

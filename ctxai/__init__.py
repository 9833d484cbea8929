"""ctxai: explainable lung-nodule assessment on CT, for research use only."""

__version__ = "0.1.0"

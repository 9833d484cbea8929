"""Nodules that somebody marked, from any file or database: one protocol for ingestion, explanation and viewing."""

from ctxai.annotations.base import AnnotatedNodule, Annotations, AnnotationSource, CTDescription
from ctxai.annotations.matching import annotate, open_annotations, read_points

__all__ = [
    "AnnotatedNodule",
    "AnnotationSource",
    "Annotations",
    "CTDescription",
    "annotate",
    "open_annotations",
    "read_points",
]

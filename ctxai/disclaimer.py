"""Limits that every written file states."""

RESEARCH_USE_ONLY = "research use only"
#: Said in full wherever there is room for it.
NOTICE = f"{RESEARCH_USE_ONLY}, not for diagnosis"
#: For matplotlib: texts of a PNG file, the same in every run.
PNG_TEXTS = {"Software": None, "Comment": NOTICE}

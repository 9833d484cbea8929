"""A synthetic LIDC-IDRI: valid CT series of the real patients, with their nodules drawn as their readers rated them."""

from ctxai.phantom.series import make_series, series_folder

__all__ = ["make_series", "series_folder"]

"""Output formats of ``ctxai explain``, one file each; every module of this package is discovered."""

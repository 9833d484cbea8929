"""Explanation methods, one file each; every module here is discovered."""

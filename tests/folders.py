"""What lies in a folder, to compare two of them."""

from pathlib import Path


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file at any depth, by its path in the folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

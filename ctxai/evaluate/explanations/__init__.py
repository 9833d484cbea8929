"""How explanation methods are scored and compared."""

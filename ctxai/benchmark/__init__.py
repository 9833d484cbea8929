"""Every explanation method scored by every metric."""

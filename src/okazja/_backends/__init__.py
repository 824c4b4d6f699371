"""One file a backend, each behind the same small protocol."""

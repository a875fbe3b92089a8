"""Wire formats, pure and compiled: bytes in, columns out. Imports nothing that does I/O."""

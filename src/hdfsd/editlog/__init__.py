"""Core. Edit log operations, their bytes, segments and the write buffer."""

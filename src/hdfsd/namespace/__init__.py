"""Core. The file tree, who may do what in it, and who is writing."""

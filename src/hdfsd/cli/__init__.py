"""Adapter. The command line."""

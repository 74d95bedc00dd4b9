"""Data. HDFS with high availability in Python; docs/ARCHITECTURE.md is the way through it."""

__version__ = "0.1.0"

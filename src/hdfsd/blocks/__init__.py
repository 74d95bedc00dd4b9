"""Core. Which DataNode holds which replica, and what to do about it."""

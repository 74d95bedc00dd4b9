"""Core. The JournalNode."""

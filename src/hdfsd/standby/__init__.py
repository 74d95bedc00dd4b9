"""Core. What a standby does: tail, replay, checkpoint."""

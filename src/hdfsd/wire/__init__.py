"""Data. Messages, frames, packets and method tables: all that two daemons share."""

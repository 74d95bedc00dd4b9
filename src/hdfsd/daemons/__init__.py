"""Adapter. Wiring of one daemon each: configuration to ports to cores to drivers."""

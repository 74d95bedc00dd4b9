"""Driver. HTTP endpoints over ports.http."""

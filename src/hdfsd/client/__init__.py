"""Driver. The RPC failover proxy: what daemons and tools need of a client."""

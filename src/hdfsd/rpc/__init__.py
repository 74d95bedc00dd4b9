"""Driver. Hadoop RPC version 9, both ends."""

"""Driver. A whole cluster of production drivers on virtual time."""

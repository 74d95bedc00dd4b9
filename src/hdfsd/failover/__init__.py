"""Core. The failover controller: health, election, policy, fencing."""

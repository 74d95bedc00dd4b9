"""Driver. One NameNode: state, commit, services, transitions."""

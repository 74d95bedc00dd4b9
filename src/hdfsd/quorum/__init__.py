"""Core. The writer's side of the quorum journal (HDFS-3077)."""

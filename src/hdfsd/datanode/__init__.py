"""Driver. One DataNode: replicas, pipelines, reports."""

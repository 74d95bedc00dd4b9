"""Data. Ids, errors, paths, units, configuration: what every room may import."""

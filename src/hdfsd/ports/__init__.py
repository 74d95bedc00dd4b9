"""Data. What the drivers ask of the world. Stays empty: indirect imports count."""

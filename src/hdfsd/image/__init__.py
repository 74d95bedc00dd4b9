"""Core. The namespace image: sections to and from bytes."""

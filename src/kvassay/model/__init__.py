"""Models: named small ones and their content-addressed download, hub files, local paths, and GGUF headers."""

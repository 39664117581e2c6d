"""Template files, found through the package wherever it is installed."""

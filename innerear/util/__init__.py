"""Files, errors, progress, processes and downloads, for every other package. Nothing about speech."""

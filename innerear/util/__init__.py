"""What every room needs and none owns: files, errors, progress, processes, downloads. Nothing of speech."""

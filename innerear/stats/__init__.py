"""Statistics on plain arrays: intervals, corrections, psychometric curves, nested means, rank agreement."""

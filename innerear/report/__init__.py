"""Results shown: leaderboard, pages, figures, citations."""

"""How results are shown: leaderboard, pages, figures, citations."""

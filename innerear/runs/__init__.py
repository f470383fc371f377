"""Plans carried out: the runner, tracking, reproduction, submission."""

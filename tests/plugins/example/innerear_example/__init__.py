"""Adds a family, a kind of task with a task, a corpus and a localisation method to innerear."""

"""Many inputs: a table of jobs on disk, and workers that may die."""

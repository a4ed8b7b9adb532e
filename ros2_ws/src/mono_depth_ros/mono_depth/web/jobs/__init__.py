"""Videos, folders and bags: what takes longer than a client waits."""

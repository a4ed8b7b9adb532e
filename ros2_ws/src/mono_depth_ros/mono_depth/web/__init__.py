"""The page and the HTTP interface of `mono-depth serve`. What it needs is in the extra `web`."""

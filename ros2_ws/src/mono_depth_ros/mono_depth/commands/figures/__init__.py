"""Commands of the project that print or draw the figures of the documents."""

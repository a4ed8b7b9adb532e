"""What filter and scale promise, row by row, with its bound."""

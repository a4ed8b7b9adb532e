"""The names of the formats that recordings come in."""

FORMATS = ("auto", "tum", "folder", "synthetic", "bag")

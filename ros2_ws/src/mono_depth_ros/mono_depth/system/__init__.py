"""This machine: threads, hardware and memory, the files that ship beside the code."""

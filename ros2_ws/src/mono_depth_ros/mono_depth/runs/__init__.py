"""From an input to a folder of files: resumable, atomic, and with an account of every frame."""

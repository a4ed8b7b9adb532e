"""Other processes of this package: started, watched and ended."""

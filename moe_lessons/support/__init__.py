"""What the rest stands on and no lesson is about: checked arguments, files, threads, clocks."""

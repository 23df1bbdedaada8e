"""What lies in a data set, found by a look at every file, and what is wrong with it."""

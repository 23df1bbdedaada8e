"""What evaluate.py leaves to be read: one HTML page, and the tables it is made of."""

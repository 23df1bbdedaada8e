"""What `inference.py` is made of: where images come from, a model with all around it, exports."""

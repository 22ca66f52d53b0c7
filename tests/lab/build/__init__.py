"""What the lab is made of, and how each part is built."""

"""What the tables and the memory derived from the log hold: nothing but what the log says, and all of it."""

"""What subscribers hand in to get a replacement, read and checked."""

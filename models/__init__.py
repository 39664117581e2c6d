"""The tables Tocsin remembers in, and the words it uses."""

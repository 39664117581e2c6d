"""Figures in; text and pictures out."""

"""Bytes in; values, findings or BadInput out."""

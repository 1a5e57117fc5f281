"""Hopsworks as a backend: rows through the unmodified ``hopsworks`` client, vectors from its online store."""

"""Hopsworks as a backend of btcfs, and a local emulator of its server."""

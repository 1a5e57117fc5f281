"""The REST half of the emulator: one module for each part of the Hopsworks API."""

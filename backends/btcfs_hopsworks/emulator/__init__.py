"""A local server that speaks the protocols of the Hopsworks 5.x Python client, for tests and development."""

"""Features at request time: cached vectors, windows of them, and features of a candle not stored yet."""

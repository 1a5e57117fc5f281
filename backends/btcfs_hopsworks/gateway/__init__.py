"""The only package that imports the Hopsworks client; everything it gives and takes is plain values, frames and handles."""

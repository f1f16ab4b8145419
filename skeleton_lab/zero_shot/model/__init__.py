"""The networks of FS-VAE and MSF-GZSSAR."""

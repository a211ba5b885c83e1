"""Say how sure an image is."""

"""What is read and written: JSON, rows with their places, names of images, files that are whole, the cache folder."""

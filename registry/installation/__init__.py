"""What is installed: this distribution, the version ranges of what it requires, and files that hide its packages."""

"""Student networks, one file each."""

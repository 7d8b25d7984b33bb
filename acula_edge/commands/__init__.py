"""The commands, one file each. A module imports what its options need; the work is imported when it runs."""

"""The Android bundle."""

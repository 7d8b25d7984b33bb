"""Distillation on the device: a larger model teaches the last layers of a smaller one without labels."""

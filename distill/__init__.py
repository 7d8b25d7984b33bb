"""Distillation: the aligned encoder is compressed into a student that fits the device."""

"""acula-edge: clinically aware audio models for phones and digital stethoscopes."""

__version__ = "0.1.0"

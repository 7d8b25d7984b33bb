"""Audio encoders, one file each, behind one protocol; loading of pretrained weights."""

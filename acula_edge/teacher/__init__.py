"""The teacher: alignment losses, training, probes, prototypes, targets and the shuffled control."""

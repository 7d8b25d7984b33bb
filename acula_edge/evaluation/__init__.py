"""What a teacher knows, and what its controls know too: probes, zero-shot, retrieval, geometry, slices."""

"""What a frozen audio encoder knows: probes, regression, zero-shot, retrieval, geometry, slices."""

"""From a float student to INT8 graphs for ExecuTorch and LiteRT, with the parity of every hop."""

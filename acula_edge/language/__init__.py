"""The frozen language model: reports in, embeddings out."""

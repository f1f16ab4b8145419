"""Class texts and their CLIP features: sentences, tokeniser, text tower, weights, files."""

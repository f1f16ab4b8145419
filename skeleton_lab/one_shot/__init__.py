"""Recognition from one clip of a class, or a few: features of a trained network and the nearest of them."""

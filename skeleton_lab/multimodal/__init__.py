"""``skeleton-lab multimodal``: what descriptors of images add to a trained skeleton network, and what they do not."""

"""Key points of the user's own pose estimator become skeletons as the rooms were trained on."""

"""``skeleton-lab skeletons``: the known skeletons as a table, each as a picture or a page."""

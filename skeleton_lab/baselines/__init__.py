"""Small models and short training runs: what the scripts in ``baselines/`` and ``ctrgcn_extras/`` are made of."""

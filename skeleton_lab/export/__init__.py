"""From a training to a file that other runtimes run."""

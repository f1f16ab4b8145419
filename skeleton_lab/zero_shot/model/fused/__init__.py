"""The same networks and losses with fewer, larger kernels."""

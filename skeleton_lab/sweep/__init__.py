"""A study: one file describes many runs, one command starts, resumes and fuses them."""

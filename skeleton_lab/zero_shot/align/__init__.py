"""Training that aligns skeleton features with class texts, and the classifier of unseen classes on top."""

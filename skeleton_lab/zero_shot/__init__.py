"""Zero-shot recognition on skeleton features: MSF-GZSSAR and FS-VAE as two variants of one implementation.

MSF-GZSSAR (Li et al., ICIG 2023) aligns skeleton and text features of the seen classes with a pair of VAEs.  FS-VAE
(Wu et al., ICCV 2025) puts a gain per DCT coefficient in front of both encoders and replaces the reconstruction across
modalities by a calibrated loss.  Splits, features and protocol are those of SynSE (Gupta et al., ICIP 2021).

Symbols: N sequences, V width of a skeleton feature, D width of a text feature, L latent size, S unseen classes,
n classes in all, B batch.
"""

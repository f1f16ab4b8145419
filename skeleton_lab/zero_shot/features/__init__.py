"""Features of clips from a trained backbone, and the folder that they are kept in."""

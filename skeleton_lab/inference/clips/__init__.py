"""A folder of recordings and a list of labels become an archive that every room trains on."""

"""From recordings (NTU ``.skeleton`` text, Kinetics OpenPose JSON) to the files that feeders read."""

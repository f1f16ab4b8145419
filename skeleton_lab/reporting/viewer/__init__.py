"""Clips of any archive as something to look at: a page that plays them, GIF, MP4, or a PNG contact sheet.

python -m skeleton_lab.reporting.viewer NTU60_CS.npz --class "hand waving" --output waving.gif
"""

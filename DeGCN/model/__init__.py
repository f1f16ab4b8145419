"""The room's networks; each module is imported when its name is first used."""

from skeleton_lab.utils.importing import submodules

__getattr__ = submodules(__name__)

"""The room's feeders; each module is imported when its name is first used."""

from skeleton_lab.utils.importing import submodules

__getattr__ = submodules(__name__)

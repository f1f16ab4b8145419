"""Frames of people as the recordings that ``predict`` would make of a file of them."""

from __future__ import annotations

import numpy as np

from skeleton_lab.inference import any_skeleton
from skeleton_lab.inference.clips import placing
from skeleton_lab.inference.clips.joints import Skeletons
from skeleton_lab.inference.keypoints import checking
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.inference.network import Network
from skeleton_lab.inference.windows import Own, Recordings, scheme_for
from skeleton_lab.inference.wishes import Wishes
from skeleton_lab.live.reading import Reader


class Placing:
    """Makes recordings in the network's joints.

    Args:
        reader: knows the joints of the frames, from the first person on.
        wishes: ``up`` and ``score`` of a prediction. config: how messages call the configuration.

    Raises:
        UsageError: no map leads to the network's skeleton.
    """

    def __init__(self, network: Network, reader: Reader, wishes: Wishes, notices: Notices, config: str) -> None:
        self._network, self._reader, self._wishes, self._notices = network, reader, wishes, notices
        self._target = None if network.skeleton is not None else scheme_for(network.joints, config)
        self._skeletons = Skeletons(network.skeleton, of_network=True)

    def __call__(self, x: np.ndarray, scored: bool, name: str) -> Recordings:
        """A recording of x (T, M, V, C), frames of people as in ``Frame.people``, zeros where somebody is not there.

        Args:
            scored: as of ``Frame``.

        Raises:
            LabError: they cannot be placed.
        """
        network, reader, wishes = self._network, self._reader, self._wishes
        assert reader.scheme is not None
        scores = x[..., -1] if scored else None
        points = x[..., :-1] if scores is not None else np.where(x[..., -1:] > 0, x[..., :-1], np.nan)
        found = checking.checked(
            points, scores, reader.scheme, name, reader.where, reader.least, self._notices, points.shape[1]
        )
        if network.skeleton is None:
            assert self._target is not None
            made = Own([found], reader.scheme, self._target, wishes.up, self._notices)
            if made.trouble is not None:
                raise made.trouble
            return made
        found = self._skeletons.settled(found, reader.scheme, name)
        wish = placing.Wish(wishes.up, wishes.least_score)
        return any_skeleton.of_found(
            [found], [None], network.skeleton, network.channels, network.scored, wish, self._notices, name
        )

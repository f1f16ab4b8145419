"""One length for all clips: the temporal attention has a weight for every pair of frames, so the network fixes T."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from skeleton_lab.errors import UsageError

SHRINK = 4  # the network halves the frame rate twice
FRAMES_OF = "tem_mixf.branches.3.0.linear.weight"  # of a block; (frames, frames)


class FrameSize:
    """What a network of one frame size checks, and tells those who build it and load its weights.

    Attributes:
        sizes: (in_channels, frame_size, num_point, num_person).
    """

    sizes: tuple[int, int, int, int]

    @staticmethod
    def check_frame_size(frame_size: int) -> None:
        """UsageError for one that is no multiple of 4."""
        if frame_size < SHRINK or frame_size % SHRINK:
            below = frame_size // SHRINK * SHRINK
            advice = f"{below} or {below + SHRINK}" if below > 0 else f"{SHRINK}"
            raise UsageError(f"FreqMixFormer: frame_size {frame_size} is not a multiple of {SHRINK} (try {advice})")

    def check_shape(self, x: Tensor) -> None:
        """UsageError for an input (N, C, T, V, M) of other ``sizes``."""
        given = tuple(x.shape[1:])
        if given == self.sizes:
            return
        if len(given) == len(self.sizes):
            names = ("in_channels", "frame_size", "num_point", "num_person")
            wrong = [(n, b, g) for n, b, g in zip(names, self.sizes, given) if b != g]
            told = ", ".join(f"{name} {b} but the input has {g}" for name, b, g in wrong)
            advice = ", ".join(f"model_args.{name}={g}" for name, _, g in wrong)
            raise UsageError(f"FreqMixFormer: {told}; set {advice}")
        raise UsageError(f"FreqMixFormer: the input is (N, {', '.join(map(str, given))}), expected (N, C, T, V, M)")

    @staticmethod
    def fitted_arguments(
        model_args: dict[str, Any], train_feeder_args: dict[str, Any] | None, test_feeder_args: dict[str, Any] | None
    ) -> dict[str, Any]:
        """``model_args`` with ``frame_size`` from the clips' ``window_size`` where they do not name it.

        Raises:
            UsageError: windows and frame size differ.
        """
        windows = {"train": train_feeder_args, "test": test_feeder_args}
        windows = {split: (given or {}).get("window_size") for split, given in windows.items()}
        windows = {split: window for split, window in windows.items() if isinstance(window, int) and window > 0}
        frames = model_args.get("frame_size")
        if frames is None and windows:
            frames = next(iter(windows.values()))
            model_args = {**model_args, "frame_size": frames}
        if windows and set(windows.values()) != {frames}:
            split, window = next((split, window) for split, window in windows.items() if window != frames)
            equal = len(set(windows.values())) == 1
            advice = f"model_args.frame_size={window}" if equal else f"{split}_feeder_args.window_size={frames}"
            which = "" if equal else f"{split} "
            raise UsageError(f"FreqMixFormer: {which}window_size {window} but frame_size {frames}; set {advice}")
        return model_args

    def misfit(self, weights: Mapping[str, Tensor]) -> str | None:
        """Why weights cannot be loaded, where a better reason than their shapes is known: another ``frame_size``."""
        key = f"l1.{FRAMES_OF}"
        if key in weights and len(weights[key]) != self.sizes[1]:
            return f"weights were trained with {len(weights[key])} frames, this model has {self.sizes[1]}"
        return None

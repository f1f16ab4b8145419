"""The twin of the two streams, which are fused themselves: their switches are set together."""

from __future__ import annotations

from net import st_gcn_twostream
from skeleton_lab.nn.fuse import fuses, is_fused_layer


@fuses(st_gcn_twostream.Model)
class FusedModel(st_gcn_twostream.Model):
    """Attributes as of ``net.st_gcn_fused.FusedModel``."""

    @staticmethod
    def can_fuse(network: st_gcn_twostream.Model) -> bool:
        return is_fused_layer(network.origin_stream) and is_fused_layer(network.motion_stream)

    @property
    def activation_checkpointing(self) -> bool:
        return self.origin_stream.activation_checkpointing

    @activation_checkpointing.setter
    def activation_checkpointing(self, on: bool) -> None:
        self.origin_stream.activation_checkpointing = self.motion_stream.activation_checkpointing = on

    @property
    def merge_empty_bodies(self) -> bool:
        return self.origin_stream.merge_empty_bodies

    @merge_empty_bodies.setter
    def merge_empty_bodies(self, on: bool) -> None:
        self.origin_stream.merge_empty_bodies = self.motion_stream.merge_empty_bodies = on

    @property
    def merge_under_dropout(self) -> bool:
        return self.origin_stream.merge_under_dropout

    @merge_under_dropout.setter
    def merge_under_dropout(self, on: bool) -> None:
        self.origin_stream.merge_under_dropout = self.motion_stream.merge_under_dropout = on

"""torchlight: the helpers that programs of ST-GCN's family import under this name, on top of the lab's engine."""

from torchlight.arguments import DictAction, import_class, str2bool, str2dict
from torchlight.gpu import ngpu, occupy_gpu, visible_gpu
from torchlight.io import IO

__all__ = ["IO", "DictAction", "import_class", "ngpu", "occupy_gpu", "str2bool", "str2dict", "visible_gpu"]

"""PyTorch as feeders use it; where it is not installed, what the steps of a test need of it, by NumPy.

A network that was exported runs without PyTorch (``predict --onnx``), and so does what makes its input of clips: in a
test that is a handful of element-wise operations and copies, which IEEE 754 rounds alike whoever computes them. So
feeders take their ``torch`` from here. With PyTorch installed, that is PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.utils.data import Dataset
else:
    try:
        import torch
        from torch import Tensor
        from torch.utils.data import Dataset
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        from skeleton_lab.utils import numpy_tensors as torch
        from skeleton_lab.utils.numpy_tensors import Dataset, Tensor

__all__ = ["Dataset", "Tensor", "torch"]

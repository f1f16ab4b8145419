#!/usr/bin/env bash
# Question: torch's FlopCounterMode counts matrix products. A network accumulates into memory that it has, `y.baddbmm_(a, b)`
#   or `y.addmm_(a, b)`, to save a pass and an allocation. Is the count the same as that of `torch.baddbmm(y, a, b)`?
# Good guess: yes; the in-place form is the same operation, and `out=` of the same products is counted.
# What happens: the in-place forms count as nothing, without a warning, and so do products of a matrix and a vector, addbmm
#   and outer products. A network that accumulates in place looks cheaper than its plain form by just what it moves there.
#   The counter takes formulas for such operations as custom_mapping={torch.ops.aten.baddbmm_: ...}.
# torch 2.13.0 (CPU), 2026-11-30.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch.utils.flop_counter import FlopCounterMode

print("torch", torch.__version__)
a, b, y = torch.rand(4, 5, 6), torch.rand(4, 6, 7), torch.rand(4, 5, 7)
products = {
    "baddbmm": lambda: torch.baddbmm(y, a, b),
    "baddbmm out=": lambda: torch.baddbmm(y, a, b, out=torch.empty_like(y)),
    "baddbmm_": lambda: y.clone().baddbmm_(a, b),
    "addmm": lambda: torch.addmm(y[0], a[0], b[0]),
    "addmm_": lambda: y[0].clone().addmm_(a[0], b[0]),
    "addbmm": lambda: torch.addbmm(y[0], a, b),
    "matrix @ vector": lambda: a[0] @ b[0, :, 0],
}
counted = {}
for name, product in products.items():
    with FlopCounterMode(display=False) as counter:
        product()
    counted[name] = counter.get_total_flops()
    print(f"{name:16} {counted[name]:5} FLOPs")
assert torch.allclose(products["baddbmm"](), products["baddbmm_"]())
assert counted["baddbmm"] == counted["baddbmm out="] == 2 * 4 * 5 * 6 * 7 and counted["addmm"] == 2 * 5 * 6 * 7
assert not any(counted[name] for name in ("baddbmm_", "addmm_", "addbmm", "matrix @ vector"))
print("OK: products in place are not counted")
PYTHON

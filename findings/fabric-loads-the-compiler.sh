#!/usr/bin/env bash
# Question: Lightning Fabric is the light part of Lightning, for training loops of one's own. A program that compiles
#   nothing imports it. What does the import cost beside that of torch?
# Good guess: little. torch itself loads its compiler (torch._dynamo, torch._inductor, SymPy) when torch.compile is first
#   called, and Fabric asks for it where a compiled module is handed over.
# What happens: `import lightning_fabric` loads all three at once (its wrappers import OptimizedModule for isinstance), some
#   900 modules, and takes about as much processor time as `import torch` itself: a --help or a prediction that imports
#   Fabric starts twice as slowly. Who wants to start fast imports it only when training begins.
# lightning-fabric 2.6.6, torch 2.13.0 (CPU), 2026-11-29.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
  lightning-fabric==2.6.6 torch==2.13.0 numpy==2.4.6 2>"$folder/pip.log" ||
  { cat "$folder/pip.log" >&2 && exit 3; }
for _ in 1 2 3; do  # the first run writes the bytecode; the last one counts
  said=$("$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
import time

COMPILER = ("torch._dynamo", "torch._inductor", "sympy")


def cost(name):
    begun = time.process_time()
    __import__(name)
    return time.process_time() - begun, len(sys.modules), [each for each in COMPILER if each in sys.modules]


torch_seconds, torch_modules, before = cost("torch")
seconds, modules, after = cost("lightning_fabric")
print(f"import torch:            {torch_seconds:.2f} s, {torch_modules} modules, of the compiler: {before or 'nothing'}")
print(f"import lightning_fabric: {seconds:.2f} s more, {modules - torch_modules} modules more, of the compiler: {after}")
print("as then" if not before and after == list(COMPILER) and seconds > torch_seconds / 2 else "changed")
PYTHON
  )
done
"$folder/venv/bin/pip" list 2>/dev/null | grep -E "^(lightning-fabric|torch) "
printf '%s\n' "$said"
grep -q "as then" <<<"$said"

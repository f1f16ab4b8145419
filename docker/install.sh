#!/bin/sh
# Runs while an image is built: installs what skeleton_lab and the named extras need, and makes the user.
# The base image's own PyTorch and NumPy stay as they are: they were built for each other and for its CUDA.
# Usage: install.sh EXTRAS       for example: install.sh logs,report,h5
set -eu
extras=$1

# The package is installed in place (its files come in a later layer), so a change of the code costs no new download.
cd /workspace
mkdir -p skeleton_lab
touch skeleton_lab/__init__.py README.md
python - >/tmp/base.txt <<'EOF'
from importlib.metadata import PackageNotFoundError, version

print("torch==" + version("torch"))
try:
    print("numpy==" + version("numpy"))
except PackageNotFoundError:
    print("numpy<2" if version("torch").startswith("2.3.") else "numpy")
EOF
export PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_BREAK_SYSTEM_PACKAGES=1
python -m pip install -q -c /tmp/base.txt -e ".[$extras]"
rm -rf README.md ./*.egg-info /tmp/base.txt install.sh

# A plain user, and what it writes to beside the work dir (arrange.sh tells why it is open to everyone).
useradd --non-unique --uid 1000 --user-group --home-dir "$HOME" --no-create-home --shell /bin/bash lab
mkdir -p "$HOME" "$MPLCONFIGDIR" "$SKELETON_LAB_CACHE"
python -c 'import matplotlib.font_manager' 2>/dev/null || true  # its font list, once and not at every start
chmod 1777 "$HOME" "$MPLCONFIGDIR" "$SKELETON_LAB_CACHE"

#!/bin/sh
# Runs while an image is built: /opt/lab, a virtual environment on top of the base image's Python with what skeleton_lab
# and the named extras need, in the versions of constraints.txt. The base itself stays as it is.
# Usage: install.sh EXTRAS [PACKAGE...]       for example: install.sh logs,report,h5
# PACKAGEs come without what they depend on. It runs in a stage of its own: what the image inherits is /opt/lab alone,
# so neither the addresses that pip was given nor its leftovers are in it.
set -eu
extras=$1
shift
python -m venv --system-site-packages --without-pip /opt/lab
python - <<'PYTHON'
import glob, site, sys, sysconfig

if sys.prefix != sys.base_prefix:  # the base's Python is a virtual environment itself: those do not nest
    (packages,) = glob.glob("/opt/lab/lib/python*/site-packages")
    with open(packages + "/base.pth", "w") as file:
        file.write("import site; site.addsitedir(%r)\n" % sysconfig.get_path("purelib"))
PYTHON
cat >/opt/lab/bin/pip <<'SHELL'
#!/bin/sh
exec /opt/lab/bin/python -m pip "$@"
SHELL
chmod +x /opt/lab/bin/pip
ln -s pip /opt/lab/bin/pip3

# The package is installed in place (its files come in a later layer), so a change of the code costs no new download.
mkdir -p /workspace/skeleton_lab
cd /workspace
cp /build/pyproject.toml .
touch skeleton_lab/__init__.py README.md
/opt/lab/bin/python /build/constrain.py /build/constraints.txt >/build/constraints
export PIP_CONSTRAINT=/build/constraints PIP_BUILD_CONSTRAINT=/build/constraints  # the second: newer pips, for setuptools
export PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1
/opt/lab/bin/pip install -q -e ".[$extras]"
for package; do
  /opt/lab/bin/pip install -q --no-deps "$package"
done

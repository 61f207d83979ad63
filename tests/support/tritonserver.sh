#!/bin/sh
# `tritonserver` out of a virtual environment that got it from PyPI (nvidia-pytriton); images have their own.
# VIRTUAL_ENV: that environment; its interpreter runs the Python backend's models, so onnxruntime must be in it.
# PYTHON_LIBRARY_FOLDER: where the libpython of that interpreter lies.
set -eu
environment="${VIRTUAL_ENV:-/opt/venv}"
python="${environment}/bin/python"
packages="$("${python}" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
release="$("${python}" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
server="${packages}/pytriton/tritonserver"

# The Python backend looks for its stub beside its library: both are linked into one folder.
backends="$(mktemp -d "${TMPDIR:-/tmp}/backends.XXXXXX")"
mkdir "${backends}/python"
ln -s "${server}"/backends/python/* "${server}/python_backend_stubs/${release}/triton_python_backend_stub" "${backends}/python/"

export LD_LIBRARY_PATH="${packages}/nvidia_pytriton.libs:${PYTHON_LIBRARY_FOLDER:-/usr/lib/x86_64-linux-gnu}${LD_LIBRARY_PATH:+:${LD_LIBRARY_PATH}}"
export PATH="${environment}/bin:${PATH}"  # by this the backend's interpreter finds its packages
exec "${server}/bin/tritonserver" --backend-directory="${backends}" "$@"

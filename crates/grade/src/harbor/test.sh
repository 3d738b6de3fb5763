#!/bin/sh
# Lays the hidden tests over /testbed, runs them, and writes 1 (resolved) or 0 to
# /logs/verifier/reward.txt, with details in /logs/verifier/report.json.
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p /logs/verifier
echo 0 > /logs/verifier/reward.txt
python=/opt/env/bin/python
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 6))' || python=python3
exec "$python" -I "$here/grade.py" @SECONDS@

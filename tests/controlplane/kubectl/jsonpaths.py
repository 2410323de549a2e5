"""An object, templates of kubectl's JSONPath, and what kubectl 1.35 prints for each; None where it refuses.

`test_jsonpath.py` holds ours to it, and `tests/cluster/test_kubectl.py` the real kubectl.
"""

import json
from pathlib import Path
from typing import Any

_RECORDED = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
OBJECT: dict[str, Any] = _RECORDED["object"]
PRINTED: dict[str, str | None] = _RECORDED["printed"]

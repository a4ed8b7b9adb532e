"""The table of many evaluations."""

from __future__ import annotations

import json

from mono_depth.evaluation.summary import main

REPORT = {
    "sequence": "room/robot/1",
    "model": "nano",
    "frames": 60,
    "against_none": {
        "flow": {
            "flicker x": 0.25,
            "AbsRel x": 1.04,
            "scale spread x": 0.9,
            "|near bias| + points": -1.0,
            "confident half x": 0.7,
            "TAE z-buffer x": 0.3,
            "edge error x": 0.9,
            "mover error x": None,
        }
    },
}


def test_a_value_beyond_its_limit_stands_out(tmp_path, capsys):
    file = tmp_path / "room.json"
    file.write_text(json.dumps(REPORT))
    assert main([str(file)]) == 0
    header, _, row = capsys.readouterr().out.splitlines()
    assert header.startswith("| sequence | model | filter | flicker x | AbsRel x |")
    assert row == (
        "| room/robot/1 (60) | nano | flow | 0.25 | **1.04** | 0.90 | -1.00 | 0.70 | 0.30 | 0.90 "
        "| - |"
    )

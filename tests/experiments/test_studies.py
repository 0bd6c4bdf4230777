"""What the studies share."""

import pytest

from moe_lessons.experiments import studies

SHIPPED = {"balancing": "rows", "bias": "trials", "blind_spot": "trials", "claims": "studies",
           "language_balancing": "runs", "router_study": "trials"}  # fmt: skip


def test_a_file_of_results_has_a_line_for_each_run_and_comes_back(tmp_path):
    path, rows = tmp_path / "study.json", [{"seed": 0, "error": [0.1]}, {"seed": 1, "error": [0.2]}]
    studies.write(path, {"lengths": (300, 1200)}, "runs", rows, texts={"usual": 1})
    found = studies.read(path)
    assert found["runs"] == rows
    assert (found["settings"], found["texts"]) == ({"lengths": [300, 1200]}, {"usual": 1})
    assert set(found["versions"]) == {"python", "torch"}
    assert path.read_text("utf-8").count("\n") == len(rows) + 2


@pytest.mark.parametrize(("name", "rows"), SHIPPED.items())
def test_what_ships_is_written_as_it_would_be_today(name, rows, tmp_path, monkeypatch):
    shipped = studies.RESULTS / f"{name}.json"
    settings, versions, *more, _ = (found := studies.read(shipped)).values()
    monkeypatch.setattr("platform.python_version", lambda: versions["python"])
    monkeypatch.setattr("torch.__version__", versions["torch"])
    extra = {key: found[key] for key in found if key not in ("settings", "versions", rows)}
    assert len(extra) == len(more)
    studies.write(tmp_path / "again.json", settings, rows, found[rows], **extra)
    assert (tmp_path / "again.json").read_bytes() == shipped.read_bytes()


def test_the_processes_start_afresh():
    with studies.workers() as pool:
        assert pool._mp_context.get_start_method() == "spawn"
